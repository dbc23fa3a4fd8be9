// What this package needs of RocksDB and its C API does not offer: whole blocks
// of records per call, the options and live files of one column family, and a
// strict look at stored options.
//
// Functions that can fail return NULL, or a message that the caller frees with
// free(). Packed records are u32 key length | u32 value length | key | value,
// little-endian, back to back.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "rocksdb/c.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rs_family rs_family;      // a column family; owned by the database
typedef struct rs_snapshot rs_snapshot;  // a sequence number held for reading
typedef struct rs_scan rs_scan;          // a batched iterator
typedef struct rs_writer rs_writer;      // writes SST files, one after the other

// Where a value has its time; see package expiry.
enum { RS_TTL_NONE = 0, RS_TTL_ROCKSDB = 1, RS_TTL_MS_PREFIX = 2 };

typedef struct {
  size_t bytes;    // filled
  size_t records;  // filled
  size_t need;     // size of the next record, when nothing fitted
} rs_block;

typedef struct {
  uint64_t number;
  uint64_t size;
  int32_t level;  // -1 for a blob file
  char* smallest;
  size_t smallest_len;
  char* largest;
  size_t largest_len;
} rs_file;

char* rs_version(void);
char* rs_check_options(const char* dir, char** wal_dir);
void rs_recover_to_tables(rocksdb_options_t* database);
char* rs_limit_tables(rocksdb_t* db, int open);
void rs_read_lightly(rocksdb_options_t* family);

void rs_expire(rocksdb_options_t* options, int format, uint64_t life, uintptr_t clock);

rs_family* rs_default_family(rocksdb_t* db);
rs_family* rs_family_of(rocksdb_column_family_handle_t* handle);
char* rs_place(rocksdb_t* db, rs_family* family, size_t i);
const char* rs_comparator(rs_family* family);
char* rs_property(rocksdb_t* db, rs_family* family, const char* name);
size_t rs_live(rocksdb_t* db, rs_family* family, rs_file** files);
void rs_live_free(rs_file* files, size_t count);
uint64_t rs_size(rocksdb_t* db, rs_family* family, const char* lower, size_t lower_len,
                 const char* upper, size_t upper_len);
char* rs_first(rocksdb_t* db, rs_family* family, const char* lower, size_t lower_len, size_t* len);

char* rs_flush(rocksdb_t* db, rs_family* family);
char* rs_flush_all(rocksdb_t* db);
char* rs_compact(rocksdb_t* db, rs_family* family);
char* rs_compact_range(rocksdb_t* db, rs_family* family, const char* lower, size_t lower_len,
                       const char* upper, size_t upper_len, int has_upper);
char* rs_delete_range(rocksdb_t* db, rs_family* family, const char* lower, size_t lower_len,
                      const char* upper, size_t upper_len, int logged);
char* rs_put(rocksdb_t* db, rs_family* family, const char* packed, size_t len);
char* rs_ingest(rocksdb_t* db, rs_family* family, char** paths, size_t count);

rs_snapshot* rs_snapshot_take(rocksdb_t* db);
void rs_snapshot_release(rocksdb_t* db, rs_snapshot* snapshot);

rs_scan* rs_scan_open(rocksdb_t* db, rs_family* family, rs_snapshot* snapshot,
                      const char* lower, size_t lower_len,
                      const char* upper, size_t upper_len, int has_upper);
char* rs_scan_next(rs_scan* scan, char* buf, size_t limit, rs_block* block);
void rs_scan_close(rs_scan* scan);

rs_writer* rs_writer_new(rocksdb_t* db, rs_family* family);
char* rs_writer_open(rs_writer* writer, const char* path);
char* rs_writer_add(rs_writer* writer, const char* packed, size_t len, uint64_t* size);
char* rs_writer_finish(rs_writer* writer);
void rs_writer_free(rs_writer* writer);

#ifdef __cplusplus
}
#endif
