package bench

func bucketCases() []Case { return nil }
