// Does by RocksDB's own means, in C++, what rocksnap is compared with. The answer is
// one line of JSON: what the call itself took, without opening the database, and the
// bytes that it dealt with.
//
//   rocksdb-bench backup  DB BACKUPS THREADS SYNC     a further backup into BACKUPS
//   rocksdb-bench forget  BACKUPS KEEP                removes all but the oldest KEEP backups
//   rocksdb-bench restore BACKUPS DB THREADS          the newest backup into a new database
//   rocksdb-bench verify  BACKUPS THREADS             the newest backup, with checksums
//   rocksdb-bench scan    DB                          every record, by one iterator after the other
//   rocksdb-bench puts    FROM DB                     the records of FROM into a new database, in batches
//   rocksdb-bench checkpoint DB DIR
//
// A database is opened with the options that its own file of options tells, and a new
// one gets those of the old: neither pays for a compression or a compaction that the
// other does without. All else are RocksDB's defaults, except for what is named here.

#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/utilities/backup_engine.h>
#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/utilities/options_util.h>
#include <rocksdb/write_batch.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace {

using rocksdb::Status;
using Clock = std::chrono::steady_clock;
using Args = std::vector<std::string>;

void check(const Status& s) {
  if (s.ok()) return;
  std::fprintf(stderr, "%s\n", s.ToString().c_str());
  std::exit(1);
}

// Timer adds up the time of its laps.
class Timer {
 public:
  void lap(const std::function<Status()>& work) {
    const auto start = Clock::now();
    const Status s = work();
    took_ += Clock::now() - start;
    check(s);
  }
  int64_t nanoseconds() const { return std::chrono::duration_cast<std::chrono::nanoseconds>(took_).count(); }

 private:
  Clock::duration took_{};
};

void answer(const Timer& t, uint64_t bytes) {
  std::printf("{\"took_ns\":%lld,\"bytes\":%llu}\n", static_cast<long long>(t.nanoseconds()), static_cast<unsigned long long>(bytes));
}

// Database is open with all its column families.
class Database {
 public:
  explicit Database(const std::string& path) : Database(path, path, false) {}

  // created makes a database with the options and the column families of another.
  static Database created(const std::string& path, const std::string& like) { return Database(path, like, true); }

  ~Database() {
    for (auto* h : handles) db_->DestroyColumnFamilyHandle(h);
  }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  rocksdb::DB* get() { return db_.get(); }

  std::vector<rocksdb::ColumnFamilyHandle*> handles;

 private:
  Database(const std::string& path, const std::string& like, bool create) {
    rocksdb::DBOptions options;
    std::vector<rocksdb::ColumnFamilyDescriptor> families;
    check(rocksdb::LoadLatestOptions(rocksdb::ConfigOptions(), like, &options, &families));
    options.create_if_missing = options.create_missing_column_families = options.error_if_exists = create;
    rocksdb::DB* db = nullptr;
    check(rocksdb::DB::Open(options, path, families, &handles, &db));
    db_.reset(db);
  }

  std::unique_ptr<rocksdb::DB> db_;
};

rocksdb::BackupEngineOptions optionsOf(const std::string& folder, int threads, bool sync) {
  rocksdb::BackupEngineOptions options(folder);  // 1 thread and sync are its defaults
  options.max_background_operations = threads;
  options.sync = sync;
  return options;
}

std::unique_ptr<rocksdb::BackupEngine> openBackups(const rocksdb::BackupEngineOptions& options) {
  rocksdb::BackupEngine* engine = nullptr;
  check(rocksdb::BackupEngine::Open(options, rocksdb::Env::Default(), &engine));
  return std::unique_ptr<rocksdb::BackupEngine>(engine);
}

rocksdb::BackupInfo newest(const rocksdb::BackupEngine& engine) {
  rocksdb::BackupInfo info;
  check(engine.GetLatestBackupInfo(&info));
  return info;
}

void backup(const Args& a) {
  Database db(a[0]);
  auto engine = openBackups(optionsOf(a[1], std::stoi(a[2]), a[3] == "1"));
  Timer t;
  t.lap([&] { return engine->CreateNewBackup(db.get()); });
  answer(t, newest(*engine).size);
}

void forget(const Args& a) {
  auto engine = openBackups(optionsOf(a[0], 1, true));
  std::vector<rocksdb::BackupInfo> all;
  engine->GetBackupInfo(&all);
  Timer t;
  for (size_t i = std::stoul(a[1]); i < all.size(); i++) {
    t.lap([&] { return engine->DeleteBackup(all[i].backup_id); });
  }
  t.lap([&] { return engine->GarbageCollect(); });
  answer(t, 0);
}

void restore(const Args& a) {
  auto engine = openBackups(optionsOf(a[0], std::stoi(a[2]), true));
  Timer t;
  t.lap([&] { return engine->RestoreDBFromLatestBackup(a[1], a[1]); });
  answer(t, newest(*engine).size);
}

void verify(const Args& a) {
  auto engine = openBackups(optionsOf(a[0], std::stoi(a[1]), true));
  const auto info = newest(*engine);
  Timer t;
  t.lap([&] { return engine->VerifyBackup(info.backup_id, true); });
  answer(t, info.size);
}

void scan(const Args& a) {
  Database db(a[0]);
  Timer t;
  uint64_t bytes = 0;
  for (auto* family : db.handles) {
    t.lap([&] {
      rocksdb::ReadOptions options;  // as rocksnap has them, and everybody who reads all of a database
      options.fill_cache = false;
      options.readahead_size = 1 << 20;
      std::unique_ptr<rocksdb::Iterator> it(db.get()->NewIterator(options, family));
      for (it->SeekToFirst(); it->Valid(); it->Next()) bytes += it->key().size() + it->value().size();
      return it->status();
    });
  }
  answer(t, bytes);
}

constexpr int kRecordsOfBatch = 1000;
constexpr int kBatches = 100;  // that are read ahead, untimed; what flushes meanwhile has that time for nothing

// put writes what the iterator yields, without a log, as one does who can begin
// again, and counts.
void put(Database& to, rocksdb::ColumnFamilyHandle* family, rocksdb::Iterator* it, Timer& t, uint64_t& records, uint64_t& bytes) {
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  it->SeekToFirst();
  while (it->Valid()) {
    std::vector<rocksdb::WriteBatch> batches(kBatches);
    for (auto& batch : batches) {
      for (; it->Valid() && batch.Count() < kRecordsOfBatch; it->Next(), records++) {
        check(batch.Put(family, it->key(), it->value()));
        bytes += it->key().size() + it->value().size();
      }
    }
    t.lap([&] {
      for (auto& batch : batches) {
        const Status s = to.get()->Write(options, &batch);
        if (!s.ok()) return s;
      }
      return Status::OK();
    });
  }
  check(it->status());
}

void puts(const Args& a) {
  Database from(a[0]);
  Database to = Database::created(a[1], a[0]);
  Timer t;
  uint64_t records = 0, bytes = 0, arrived = 0;
  for (size_t i = 0; i < from.handles.size(); i++) {
    std::unique_ptr<rocksdb::Iterator> it(from.get()->NewIterator(rocksdb::ReadOptions(), from.handles[i]));
    put(to, to.handles[i], it.get(), t, records, bytes);
    t.lap([&] { return to.get()->Flush(rocksdb::FlushOptions(), to.handles[i]); });
  }
  to.get()->GetAggregatedIntProperty(rocksdb::DB::Properties::kEstimateNumKeys, &arrived);
  check(arrived >= records ? Status::OK() : Status::Incomplete("records are missing in " + a[1]));
  answer(t, bytes);
}

void checkpoint(const Args& a) {
  Database db(a[0]);
  rocksdb::Checkpoint* made = nullptr;
  check(rocksdb::Checkpoint::Create(db.get(), &made));
  const std::unique_ptr<rocksdb::Checkpoint> owner(made);
  Timer t;
  t.lap([&] { return made->CreateCheckpoint(a[1]); });
  answer(t, 0);
}

struct Verb {
  size_t args;
  std::function<void(const Args&)> run;
};

const std::map<std::string, Verb> verbs = {
    {"backup", {4, backup}}, {"forget", {2, forget}}, {"restore", {3, restore}},       {"verify", {2, verify}},
    {"scan", {1, scan}},     {"puts", {2, puts}},     {"checkpoint", {2, checkpoint}},
};

}  // namespace

int main(int argc, char** argv) {
  const auto verb = argc > 1 ? verbs.find(argv[1]) : verbs.end();
  if (verb == verbs.end() || static_cast<size_t>(argc - 2) != verb->second.args) {
    std::fprintf(stderr, "usage: see the head of rocksdb.cc\n");
    return 2;
  }
  verb->second.run(Args(argv + 2, argv + argc));
  return 0;
}
