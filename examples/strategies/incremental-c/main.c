/* incremental-c is plugins/incremental in C: the same calls in the same order,
 * and the same snapshots. It needs no library and no allocator. */
#include "rocksnap_v1.h"

enum {
  PAGE = 1024, /* files that are read at a time */
  ROOM = 4 * PAGE, /* requests that may have to be kept */
  DONE = 256,
};

static rocksnap_file_t files[PAGE];
static rocksnap_upload_t uploads[ROOM];
static rocksnap_reuse_t reuses[PAGE];
static rocksnap_completion_t done[DONE];

/* Requests that the host has not accepted yet, those that it has, and files whose
 * reuse may still fail: room is kept for an upload of each. */
static uint32_t to_upload, to_reuse, under_way, at_stake;

static int64_t full_every; /* every n-th snapshot uploads everything; 0 never does */

static const char state_key[] = "snapshots_since_full";
enum { STATE_KEY = sizeof state_key - 1 };

int32_t rocksnap_abi(void) { return ROCKSNAP_VERSION; }

/* Reads a whole number of at most 18 digits; -1 when the text is none. */
static int64_t number(const char *text, uint32_t length) {
  int64_t n = 0;
  if (length == 0 || length > 18) return -1;
  for (uint32_t i = 0; i < length; i++) {
    if (text[i] < '0' || text[i] > '9') return -1;
    n = 10 * n + (text[i] - '0');
  }
  return n;
}

int32_t rocksnap_init(void) {
  static char config[4096];
  int32_t n = rocksnap_config_get(config, sizeof config);
  if (n < 0) return n;
  if (n > (int32_t)sizeof config) return rocksnap_fail(ROCKSNAP_EINVAL, "config: longer than 4096 bytes");
  const char *at = config;
  rocksnap_setting_t s;
  while (rocksnap_next_setting(&at, config + n, &s)) {
    if (!rocksnap_is(&s, "full_every")) return rocksnap_fail(ROCKSNAP_EINVAL, "config: the only key is full_every");
    full_every = s.kind == 'n' ? number(s.value, s.value_len) : -1;
    if (full_every < 0) return rocksnap_fail(ROCKSNAP_EINVAL, "full_every must be a whole number, 0 or more");
  }
  return 0;
}

/* Reads how many increments there were since everything was uploaded. */
static int32_t read_count(int64_t *count) {
  char text[20];
  int32_t n = rocksnap_state_get(state_key, STATE_KEY, text, sizeof text);
  *count = 0;
  if (n == -ROCKSNAP_ENOENT) return 0;
  if (n < 0) return n;
  if (n > (int32_t)sizeof text || (*count = number(text, (uint32_t)n)) < 0)
    return rocksnap_fail(ROCKSNAP_ECORRUPT, "state snapshots_since_full is not a number");
  return 0;
}

static int32_t write_count(int64_t count) {
  char text[20];
  uint32_t from = sizeof text;
  do text[--from] = (char)('0' + count % 10);
  while (count /= 10);
  return rocksnap_state_put(state_key, STATE_KEY, text + from, sizeof text - from);
}

/* The base is the latest committed snapshot, unless a full one is due. */
static int32_t choose_base(void) {
  int64_t count;
  rocksnap_base_t base;
  int32_t failed = read_count(&count);
  if (failed) return failed;
  int32_t n = rocksnap_bases_read(0, &base, sizeof base, sizeof base);
  if (n < 0) return n;
  if (n == 0 || (full_every > 0 && count + 1 >= full_every)) return write_count(0);
  failed = rocksnap_base_use(base.slot);
  return failed ? failed : write_count(count + 1);
}

/* In this order the base is never newer than the files. */
int32_t rocksnap_prepare(void) {
  int32_t failed = choose_base();
  if (failed) return failed;
  int32_t n = rocksnap_checkpoint();
  return n < 0 ? n : 0;
}

/* A request remembers its file and the scope of the upload that may replace it. */
static uint64_t user(uint32_t file, uint16_t scope) { return file | (uint64_t)scope << 32; }

static void upload(uint64_t user) {
  uploads[to_upload++] = (rocksnap_upload_t){.file = (uint32_t)user, .scope = (uint16_t)(user >> 32), .user = user};
}

static void choose(const rocksnap_file_t *f) {
  const uint16_t recognisable = ROCKSNAP_FILE_IMMUTABLE | ROCKSNAP_FILE_IDENTIFIED;
  if (f->flags & ROCKSNAP_FILE_IN_BASE) {
    reuses[to_reuse++] = (rocksnap_reuse_t){.file = f->id, .user = user(f->id, ROCKSNAP_SCOPE_SHARED)};
    at_stake++;
  } else if ((f->flags & recognisable) == recognisable) {
    upload(user(f->id, ROCKSNAP_SCOPE_SHARED));
  } else {
    upload(user(f->id, ROCKSNAP_SCOPE_PRIVATE));
  }
}

/* Says which file failed, and why. */
static int32_t failure(const rocksnap_completion_t *c) {
  char text[4096];
  int32_t cause = rocksnap_error_get(text + 1024, sizeof text - 1024); /* before the next call fails */
  int32_t name = rocksnap_file_name((uint32_t)c->user, text, 1024);
  if (name < 0 || name > 1022 || cause < 0 || cause > (int32_t)sizeof text - 1024) return c->status;
  text[name++] = ':';
  text[name++] = ' ';
  for (int32_t i = 0; i < cause; i++) text[name + i] = text[1024 + i];
  rocksnap_error_set(text, (uint32_t)(name + cause));
  return c->status;
}

/* Waits until requests have ended. Where the base's object is gone, the file is
 * uploaded instead. */
static int32_t settle(void) {
  int32_t n = rocksnap_wait(done, sizeof done, sizeof done[0]);
  if (n < 0) return n;
  if (n == 0) return rocksnap_fail(ROCKSNAP_EINTERNAL, "the host accepts no request and has none under way");
  under_way -= (uint32_t)n;
  for (const rocksnap_completion_t *c = done; c < done + n; c++) {
    if (c->op == ROCKSNAP_OP_REUSE) at_stake--;
    if (c->op == ROCKSNAP_OP_REUSE && c->status == -ROCKSNAP_ENOENT) upload(c->user);
    else if (c->status < 0) return failure(c);
  }
  return 0;
}

/* Takes the first n of the uploads off the list. */
static void drop_uploads(uint32_t n) {
  to_upload -= n;
  for (uint32_t i = 0; i < to_upload; i++) uploads[i] = uploads[n + i];
}

static void drop_reuses(uint32_t n) {
  to_reuse -= n;
  for (uint32_t i = 0; i < to_reuse; i++) reuses[i] = reuses[n + i];
}

/* Submits what the host has room for, and returns how much that was. */
static int32_t offer(void) {
  int32_t reused = 0, uploaded = 0;
  if (to_reuse > 0) {
    if ((reused = rocksnap_reuse(reuses, to_reuse, sizeof reuses[0])) < 0) return reused;
    drop_reuses((uint32_t)reused);
  }
  if (to_upload > 0) {
    if ((uploaded = rocksnap_upload(uploads, to_upload, sizeof uploads[0])) < 0) return uploaded;
    drop_uploads((uint32_t)uploaded);
  }
  under_way += (uint32_t)(reused + uploaded);
  return reused + uploaded;
}

/* Submits everything that is on the lists, waiting for room where needed. */
static int32_t submit(void) {
  while (to_upload + to_reuse > 0) {
    if (rocksnap_cancelled()) return -ROCKSNAP_ECANCELED;
    int32_t n = offer();
    if (n == 0) n = settle();
    if (n < 0) return n;
  }
  return 0;
}

/* Waits and submits until no more than this many reuses can still fail, or, for
 * 0, until everything has ended. */
static int32_t drain(uint32_t stake) {
  while (stake > 0 ? at_stake > stake : under_way > 0) {
    int32_t failed = settle();
    if (failed || (failed = submit())) return failed;
  }
  return 0;
}

int32_t rocksnap_snapshot(void) {
  for (uint32_t start = 0;;) {
    int32_t n = rocksnap_files_read(start, files, sizeof files, sizeof files[0]);
    if (n < 0) return n;
    if (n == 0) return drain(0);
    int32_t failed = drain(ROOM - 2 * PAGE);
    if (failed) return failed;
    for (int32_t i = 0; i < n; i++) choose(&files[i]);
    if ((failed = submit())) return failed;
    start += (uint32_t)n;
  }
}
