package config

import (
	"path/filepath"
	"strings"
)

// Taken returns the key of the configured folder that a new one must not touch,
// and the folder; "" when the two are apart. Touching is to contain the other
// or to lie within it. Symbolic links are followed. The database's own folder is
// not taken: a lost database is restored to where it was.
func (c *Config) Taken(folder string) (key, where string) {
	folder = physical(folder)
	if repository := c.Repository.Dir(); repository != "" && touch(folder, physical(repository)) {
		return title(dotted("repository.url"), false), repository
	}
	if database := physical(c.Database.Path); folder != database && touch(folder, database) {
		return title(dotted("database.path"), false), c.Database.Path
	}
	return "", ""
}

// touch reports whether two folders are equal or one contains the other.
func touch(a, b string) bool { return within(a, b) || within(b, a) }

func within(inner, outer string) bool {
	relative, err := filepath.Rel(outer, inner)
	return err == nil && relative != ".." && !strings.HasPrefix(relative, "../")
}

// physical follows the symbolic links in as much of a path as exists.
func physical(path string) string {
	path = filepath.Clean(path)
	if found, err := filepath.EvalSymlinks(path); err == nil {
		return found
	}
	parent := filepath.Dir(path)
	if parent == path {
		return path
	}
	return filepath.Join(physical(parent), filepath.Base(path))
}

// checkFolders keeps the database and the repository apart: each changes what
// is in its folder, and takes all of it for its own.
func (l *loader) checkFolders() {
	database, repository := l.config.Database.Path, l.config.Repository.Dir()
	if database == "" || repository == "" || !touch(physical(database), physical(repository)) {
		return
	}
	l.wrong(dotted("repository.url"), `give each a folder of its own, as in path = "data/db" and url = "file:repo"`,
		"%s and the database's folder, %s, must not contain one another", repository, database)
}
