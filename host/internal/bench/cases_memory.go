package bench

func memoryCases() []Case { return nil }
