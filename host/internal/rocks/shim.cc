//go:build cgo

#include "shim.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "rocksdb/comparator.h"
#include "rocksdb/convenience.h"
#include "rocksdb/db.h"
#include "rocksdb/metadata.h"
#include "rocksdb/sst_file_writer.h"
#include "rocksdb/table.h"
#include "rocksdb/utilities/options_util.h"
#include "rocksdb/version.h"
#include "rocksdb/wide_columns.h"
#include "rocksdb/write_batch.h"

using namespace ROCKSDB_NAMESPACE;

// The C API's handles begin with a pointer to what they stand for. That was read
// in the sources of these versions; look again before allowing others.
#if ROCKSDB_MAJOR < 7 || ROCKSDB_MAJOR > 11
#error "check the layout of rocksdb_t in db/c.cc of this version of RocksDB"
#endif
struct rocksdb_t {
  DB* rep;
};
struct rocksdb_column_family_handle_t {
  ColumnFamilyHandle* rep;
};
struct rocksdb_options_t {
  Options rep;
};

namespace {

// root looks through the wrappers that an application may open a database with:
// they show other values than are stored, as DBWithTTL does, and their iterators
// lack what those of the database itself have.
DB* root(rocksdb_t* db) { return db->rep->GetRootDB(); }

ColumnFamilyHandle* family_of(rs_family* f) { return reinterpret_cast<ColumnFamilyHandle*>(f); }

char* copy(const std::string& s) {
  char* p = static_cast<char*>(malloc(s.size() + 1));
  memcpy(p, s.data(), s.size());
  p[s.size()] = 0;
  return p;
}

char* message(const Status& s) { return s.ok() ? nullptr : copy(s.ToString()); }

// All supported platforms are little-endian, so lengths are copied as they are.
constexpr size_t kHeader = 8;

char* pack(char* at, const Slice& key, const Slice& value) {
  const uint32_t lengths[2] = {static_cast<uint32_t>(key.size()), static_cast<uint32_t>(value.size())};
  memcpy(at, lengths, kHeader);
  memcpy(at + kHeader, key.data(), key.size());
  memcpy(at + kHeader + key.size(), value.data(), value.size());
  return at + kHeader + key.size() + value.size();
}

// unpack calls put(key, value) for each record of a block.
template <typename Put>
Status unpack(const char* at, size_t len, Put put) {
  while (len > 0) {
    uint32_t lengths[2];
    if (len < kHeader) return Status::Corruption("packed records", "header cut short");
    memcpy(lengths, at, kHeader);
    const size_t need = kHeader + size_t{lengths[0]} + lengths[1];
    if (len < need) return Status::Corruption("packed records", "record cut short");
    const Status s = put(Slice(at + kHeader, lengths[0]), Slice(at + kHeader + lengths[0], lengths[1]));
    if (!s.ok()) return s;
    at += need;
    len -= need;
  }
  return Status::OK();
}

rs_file table_file(const SstFileMetaData& t, int level) {
  rs_file f{t.file_number, t.size, level, copy(t.smallestkey), t.smallestkey.size(), copy(t.largestkey), t.largestkey.size()};
  return f;
}

}  // namespace

char* rs_version(void) { return copy(GetRocksVersionAsString()); }

// rs_check_options fails when the stored options name anything that this library
// cannot make: a plain load would drop it, and the next open would store the loss.
char* rs_check_options(const char* dir, char** wal_dir) {
  ConfigOptions strict;
  strict.ignore_unknown_options = false;
  strict.ignore_unsupported_options = false;
  DBOptions options;
  std::vector<ColumnFamilyDescriptor> families;
  const Status s = LoadLatestOptions(strict, dir, &options, &families);
  *wal_dir = copy(options.wal_dir);
  return message(s);
}

// rs_recover_to_tables makes an open leave no WAL that is still needed.
void rs_recover_to_tables(rocksdb_options_t* database) { database->rep.avoid_flush_during_recovery = false; }

// rs_read_lightly keeps the indexes of tables in the block cache, which is bounded,
// and leaves the filters alone: scans have no use for them.
void rs_read_lightly(rocksdb_options_t* family) {
  auto* table = family->rep.table_factory->GetOptions<BlockBasedTableOptions>();
  if (table == nullptr || table->no_block_cache) return;
  table->cache_index_and_filter_blocks = true;
  table->pin_l0_filter_and_index_blocks_in_cache = false;
  table->filter_policy = nullptr;
}

// rs_limit_tables sets how many tables a database keeps open. RocksDB stores it, and more
// that it changes on the way.
char* rs_limit_tables(rocksdb_t* db, int open) {
  return message(root(db)->SetDBOptions({{"max_open_files", std::to_string(open)}}));
}

rs_family* rs_default_family(rocksdb_t* db) { return reinterpret_cast<rs_family*>(root(db)->DefaultColumnFamily()); }

rs_family* rs_family_of(rocksdb_column_family_handle_t* handle) { return reinterpret_cast<rs_family*>(handle->rep); }

// rs_place returns the i-th of the directories that the options name for files of
// a column family, or NULL behind the last.
char* rs_place(rocksdb_t* db, rs_family* family, size_t i) {
  const Options options = root(db)->GetOptions(family_of(family));
  std::vector<std::string> places;
  if (!options.wal_dir.empty()) places.push_back(options.wal_dir);
  for (const auto& p : options.db_paths) places.push_back(p.path);
  for (const auto& p : options.cf_paths) places.push_back(p.path);
  return i < places.size() ? copy(places[i]) : nullptr;
}

const char* rs_comparator(rs_family* family) { return family_of(family)->GetComparator()->Name(); }

// rs_property returns NULL for a property that RocksDB does not know.
char* rs_property(rocksdb_t* db, rs_family* family, const char* name) {
  std::string value;
  return root(db)->GetProperty(family_of(family), name, &value) ? copy(value) : nullptr;
}

size_t rs_live(rocksdb_t* db, rs_family* family, rs_file** files) {
  ColumnFamilyMetaData meta;
  root(db)->GetColumnFamilyMetaData(family_of(family), &meta);
  std::vector<rs_file> all;
  for (const auto& level : meta.levels) {
    for (const auto& t : level.files) all.push_back(table_file(t, level.level));
  }
  for (const auto& b : meta.blob_files) {
    all.push_back(rs_file{b.blob_file_number, b.blob_file_size, -1, nullptr, 0, nullptr, 0});
  }
  *files = static_cast<rs_file*>(malloc(all.size() * sizeof(rs_file) + 1));
  if (!all.empty()) memcpy(*files, all.data(), all.size() * sizeof(rs_file));
  return all.size();
}

void rs_live_free(rs_file* files, size_t count) {
  for (size_t i = 0; i < count; i++) {
    free(files[i].smallest);
    free(files[i].largest);
  }
  free(files);
}

// rs_size returns about how many bytes of tables hold a range; 0 when it cannot tell.
uint64_t rs_size(rocksdb_t* db, rs_family* family, const char* lower, size_t lower_len,
                 const char* upper, size_t upper_len) {
  const Range range(Slice(lower, lower_len), Slice(upper, upper_len));
  uint64_t size = 0;
  const Status s = root(db)->GetApproximateSizes(SizeApproximationOptions(), family_of(family), &range, 1, &size);
  return s.ok() ? size : 0;
}

// rs_first returns the first key that is not below another, or NULL when it is far to
// seek for more deleted ones. It belongs to the caller.
char* rs_first(rocksdb_t* db, rs_family* family, const char* lower, size_t lower_len, size_t* len) {
  ReadOptions options;
  options.fill_cache = false;
  options.total_order_seek = true;
  options.max_skippable_internal_keys = 1000;
  const std::unique_ptr<Iterator> it(root(db)->NewIterator(options, family_of(family)));
  it->Seek(Slice(lower, lower_len));
  if (!it->Valid()) return nullptr;
  *len = it->key().size();
  return copy(it->key().ToString());
}

char* rs_flush(rocksdb_t* db, rs_family* family) { return message(root(db)->Flush(FlushOptions(), family_of(family))); }

// rs_flush_all flushes as a checkpoint does. It takes no handle of a column family:
// whoever has lent one may destroy it meanwhile.
char* rs_flush_all(rocksdb_t* db) {
  std::vector<std::string> files;
  uint64_t manifest = 0;
  return message(root(db)->GetLiveFiles(files, &manifest, true));
}

char* rs_compact(rocksdb_t* db, rs_family* family) {
  return message(root(db)->CompactRange(CompactRangeOptions(), family_of(family), nullptr, nullptr));
}

// rs_compact_range rewrites the tables of the last level too, but none that this
// very compaction wrote. The range is widened to that of whole tables.
char* rs_compact_range(rocksdb_t* db, rs_family* family, const char* lower, size_t lower_len,
                       const char* upper, size_t upper_len, int has_upper) {
  CompactRangeOptions options;
  options.exclusive_manual_compaction = true;
  options.bottommost_level_compaction = BottommostLevelCompaction::kForceOptimized;
  const Slice low(lower, lower_len), high(upper, upper_len);
  return message(root(db)->CompactRange(options, family_of(family), lower_len > 0 ? &low : nullptr, has_upper ? &high : nullptr));
}

char* rs_delete_range(rocksdb_t* db, rs_family* family, const char* lower, size_t lower_len,
                      const char* upper, size_t upper_len, int logged) {
  WriteOptions options;
  options.disableWAL = !logged;
  return message(root(db)->DeleteRange(options, family_of(family), Slice(lower, lower_len), Slice(upper, upper_len)));
}

char* rs_put(rocksdb_t* db, rs_family* family, const char* packed, size_t len) {
  WriteBatch batch;
  Status s = unpack(packed, len, [&](const Slice& k, const Slice& v) { return batch.Put(family_of(family), k, v); });
  if (s.ok()) s = root(db)->Write(WriteOptions(), &batch);
  return message(s);
}

char* rs_ingest(rocksdb_t* db, rs_family* family, char** paths, size_t count) {
  IngestExternalFileOptions options;
  options.move_files = true;
  return message(root(db)->IngestExternalFile(family_of(family), std::vector<std::string>(paths, paths + count), options));
}

rs_snapshot* rs_snapshot_take(rocksdb_t* db) {
  return reinterpret_cast<rs_snapshot*>(const_cast<Snapshot*>(root(db)->GetSnapshot()));
}

void rs_snapshot_release(rocksdb_t* db, rs_snapshot* snapshot) {
  root(db)->ReleaseSnapshot(reinterpret_cast<const Snapshot*>(snapshot));
}

// The iterator refers to the upper bound's memory for as long as it lives, so
// the scan owns a copy.
struct rs_scan {
  std::string upper_bytes;
  Slice upper;
  Iterator* it = nullptr;
};

rs_scan* rs_scan_open(rocksdb_t* db, rs_family* family, rs_snapshot* snapshot,
                      const char* lower, size_t lower_len,
                      const char* upper, size_t upper_len, int has_upper) {
  auto* scan = new rs_scan;
  ReadOptions options;
  options.snapshot = reinterpret_cast<const Snapshot*>(snapshot);
  options.fill_cache = false;
  options.verify_checksums = true;
  options.total_order_seek = true;
  options.readahead_size = 1 << 20;
  if (has_upper) {
    if (upper_len > 0) scan->upper_bytes.assign(upper, upper_len);
    scan->upper = scan->upper_bytes;
    options.iterate_upper_bound = &scan->upper;
  }
  scan->it = root(db)->NewIterator(options, family_of(family));
  if (lower_len > 0) {
    scan->it->Seek(Slice(lower, lower_len));
  } else {
    scan->it->SeekToFirst();
  }
  return scan;
}

char* rs_scan_next(rs_scan* scan, char* buf, size_t limit, rs_block* block) {
  *block = rs_block{0, 0, 0};
  Iterator* it = scan->it;
  for (; it->Valid(); it->Next()) {
    const auto& columns = it->columns();
    if (columns.size() > 1 || (columns.size() == 1 && !columns[0].name().empty())) {
      return message(Status::NotSupported("record with wide columns"));
    }
    const size_t need = kHeader + it->key().size() + it->value().size();
    if (need > limit - block->bytes) {
      if (block->records == 0) block->need = need;
      return nullptr;
    }
    pack(buf + block->bytes, it->key(), it->value());
    block->bytes += need;
    block->records++;
  }
  return message(it->status());
}

void rs_scan_close(rs_scan* scan) {
  delete scan->it;
  delete scan;
}

// unmapped has a file written by plain calls: through a mapping, which is RocksDB's
// default here, costs more.
EnvOptions unmapped() {
  EnvOptions options;
  options.use_mmap_writes = false;
  return options;
}

// What was written is read again soon, so that it stays in the page cache.
struct rs_writer {
  Options options;
  SstFileWriter writer;
  rs_writer(const Options& o, ColumnFamilyHandle* family)
      : options(o), writer(unmapped(), options, family, false) {}
};

rs_writer* rs_writer_new(rocksdb_t* db, rs_family* family) {
  return new rs_writer(root(db)->GetOptions(family_of(family)), family_of(family));
}

char* rs_writer_open(rs_writer* writer, const char* path) { return message(writer->writer.Open(path)); }

char* rs_writer_add(rs_writer* writer, const char* packed, size_t len, uint64_t* size) {
  const Status s = unpack(packed, len, [&](const Slice& k, const Slice& v) { return writer->writer.Put(k, v); });
  *size = writer->writer.FileSize();
  return message(s);
}

char* rs_writer_finish(rs_writer* writer) { return message(writer->writer.Finish()); }

void rs_writer_free(rs_writer* writer) { delete writer; }
