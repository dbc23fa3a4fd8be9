package config_test

import (
	"errors"
	"fmt"

	"github.com/rocksnap/rocksnap/config"
)

func ExampleParse() {
	text := `
version = 1

[database]
path = "data/orders"

[repository]
url = "file:repo"

[snapshot]
strategy = "incremental"
`
	c, err := config.Parse("/srv/rocksnap.toml", []byte(text), []string{"ROCKSNAP_SNAPSHOT_FLUSH=never"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Database.Path, c.Repository.Dir(), c.Repository.Name)
	fmt.Println(c.Snapshot.Strategy, c.Snapshot.Flush)
	// Output:
	// /srv/data/orders /srv/repo orders
	// incremental never
}

func ExampleError() {
	text := "version = 1\ndatabase.path = \"db\"\nrepository.url = \"file:repo\"\n[snapshot]\n  stratgy = \"canonical\"\n"
	_, err := config.Parse("rocksnap.toml", []byte(text), nil)
	var problem *config.Error
	if errors.As(err, &problem) {
		fmt.Println(problem)
		fmt.Println(problem.Hint)
	}
	// Output:
	// rocksnap.toml:5:3: [snapshot] stratgy: unknown key
	// did you mean strategy?
}

func ExampleRepository_S3() {
	text := `
version = 1
database.path = "data/orders"
snapshot.strategy = "incremental"

[repository]
url = "s3://acme-snapshots/orders/"
endpoint = "https://s3.example.com"
transfer = { rate_limit = "200MiB/s", download_limit = "50MiB/s" }
`
	c, err := config.Parse("/srv/rocksnap.toml", []byte(text), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	bucket, prefix, ok := c.Repository.S3()
	fmt.Println(bucket, prefix, ok)
	transfer := c.Repository.Transfer
	fmt.Println(transfer.UploadLimit, transfer.DownloadLimit, transfer.Requests, transfer.Memory)
	// Output:
	// acme-snapshots orders true
	// 200MiB/s 50MiB/s 16 128MiB
}
