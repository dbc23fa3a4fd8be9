// inventory is a full snapshot in AssemblyScript that says in its metadata what it
// holds: files and bytes for each column family and level.
import {
  VERSION, EINTERNAL, EINVAL, ECANCELED, KIND_TABLE, KIND_BLOB, SCOPE_PRIVATE, LEVEL_INFO,
  File, Upload, Completion, settings, fail, say,
  rocksnap_cancelled, rocksnap_checkpoint, rocksnap_files_read, rocksnap_meta_put, rocksnap_upload, rocksnap_wait,
} from "../../../abi/rocksnap_v1";

const PAGE: u32 = 256;
const files = heap.alloc(PAGE * File.RECORD_SIZE);
const uploads = heap.alloc(PAGE * Upload.RECORD_SIZE);
const done = heap.alloc(PAGE * Completion.RECORD_SIZE);

let key = "inventory";
let underWay: i32 = 0;

// Sum counts files of one kind in one place.
class Sum {
  count: u32 = 0;
  bytes: u64 = 0;

  constructor(public family: u32, public level: i32) {}

  add(file: usize): void {
    this.count++;
    this.bytes += load<u64>(file + File.SIZE);
  }

  text(): string {
    return '"count":' + this.count.toString() + ',"bytes":' + this.bytes.toString();
  }
}

const levels: Sum[] = [];
const blobs = new Sum(0, 0);
const others = new Sum(0, 0);

export function rocksnap_abi(): i32 {
  return VERSION;
}

export function rocksnap_init(): i32 {
  const config: string[] = [];
  const failed = settings(config);
  if (failed < 0) return failed;
  for (let i = 0; i + 1 < config.length; i += 2) {
    const value = config[i + 1];
    if (config[i] != "key") return fail(EINVAL, 'config: unknown key "' + config[i] + '"; the only one is key');
    if (value.length < 3 || !value.startsWith('"') || value.includes("\\")) {
      return fail(EINVAL, "key must be a string without escapes, and not empty");
    }
    key = value.substring(1, value.length - 1);
  }
  return 0;
}

export function rocksnap_prepare(): i32 {
  const n = rocksnap_checkpoint();
  return n < 0 ? n : 0;
}

// The same level of the same column family, wherever its files stand in the list.
function level(family: u32, number: i32): Sum {
  for (let i = 0; i < levels.length; i++) {
    if (levels[i].family == family && levels[i].level == number) return levels[i];
  }
  const sum = new Sum(family, number);
  levels.push(sum);
  return sum;
}

function enter(file: usize): void {
  const kind = load<u16>(file + File.KIND);
  if (kind == KIND_TABLE) level(load<u32>(file + File.FAMILY), load<i32>(file + File.LEVEL)).add(file);
  else if (kind == KIND_BLOB) blobs.add(file);
  else others.add(file);
}

// Takes what has ended off the count under way.
function settle(): i32 {
  const n = rocksnap_wait(done, PAGE * Completion.RECORD_SIZE, Completion.RECORD_SIZE);
  if (n < 0) return n;
  if (n == 0) return fail(EINTERNAL, "the host accepts no request and has none under way");
  underWay -= n;
  for (let i = 0; i < n; i++) {
    const status = load<i32>(done + i * Completion.RECORD_SIZE + Completion.STATUS);
    if (status < 0) return status;
  }
  return 0;
}

// Submits the first n uploads, waiting for room where there is none.
function submit(n: i32): i32 {
  for (let sent: i32 = 0; sent < n; ) {
    if (rocksnap_cancelled()) return -ECANCELED;
    const accepted = rocksnap_upload(uploads + sent * Upload.RECORD_SIZE, n - sent, Upload.RECORD_SIZE);
    if (accepted < 0) return accepted;
    sent += accepted;
    underWay += accepted;
    const failed = accepted == 0 ? settle() : 0;
    if (failed < 0) return failed;
  }
  return 0;
}

export function rocksnap_snapshot(): i32 {
  for (let start: i32 = 0; ; ) {
    const n = rocksnap_files_read(start, files, PAGE * File.RECORD_SIZE, File.RECORD_SIZE);
    if (n < 0) return n;
    if (n == 0) break;
    for (let i = 0; i < n; i++) {
      const file = files + i * File.RECORD_SIZE;
      const upload = uploads + i * Upload.RECORD_SIZE;
      memory.fill(upload, 0, Upload.RECORD_SIZE);
      store<u32>(upload + Upload.FILE, load<u32>(file + File.ID));
      store<u16>(upload + Upload.SCOPE, SCOPE_PRIVATE);
      enter(file);
    }
    const failed = submit(n);
    if (failed < 0) return failed;
    start += n;
  }
  while (underWay > 0) {
    const failed = settle();
    if (failed < 0) return failed;
  }
  return publish();
}

// Writes the inventory as JSON into the manifest's metadata.
function publish(): i32 {
  levels.sort((a, b) => (a.family == b.family ? a.level - b.level : a.family < b.family ? -1 : 1));
  const rows: string[] = [];
  for (let i = 0; i < levels.length; i++) {
    const l = levels[i];
    rows.push('{"family":' + l.family.toString() + ',"level":' + l.level.toString() + "," + l.text() + "}");
  }
  const text = '{"tables":[' + rows.join(",") + '],"blobs":{' + blobs.text() + '},"others":{' + others.text() + "}}";
  const name = String.UTF8.encode(key);
  const value = String.UTF8.encode(text);
  say(LEVEL_INFO, "inventory: " + levels.length.toString() + " levels of column families");
  return rocksnap_meta_put(changetype<usize>(name), name.byteLength, changetype<usize>(value), value.byteLength);
}
