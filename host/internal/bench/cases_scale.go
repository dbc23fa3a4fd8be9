package bench

func scaleCases() []Case { return nil }
