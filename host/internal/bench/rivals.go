package bench

const pending = "is not measured yet"

func absent(string) Contender { return Contender{Missing: pending} }

func BackupEngineCreate(db, backups string, threads int, sync bool) Contender { return absent(db) }
func BackupEngineAgain(db, backups string, threads int, sync bool) Contender  { return absent(db) }
func BackupEngineRestore(backups, db string, threads int) Contender           { return absent(db) }
func BackupEngineVerify(backups string) Contender                             { return absent(backups) }
func Copy(checkpoint, target string) Contender                                { return absent(target) }
func LdbBackup(db, backups string) Contender                                  { return absent(db) }
func LdbRestore(backups, db string) Contender                                 { return absent(db) }
func LdbLoad(dump, db string) Contender                                       { return absent(db) }
func Scan(db string) Contender                                                { return absent(db) }
func ScanBinding(db string) Contender                                         { return absent(db) }
func Puts(records, db string) Contender                                       { return absent(db) }
func Checkpoint(db, dir string) Contender                                     { return absent(db) }
