;; minimal is a full snapshot in WebAssembly's text format: the ABI by example.
;; It takes a checkpoint, uploads every file of it in private scope, and waits.
;;
;; A module is a program without a machine. It has one memory, starts with nothing
;; in it, and can do nothing but what it imports: here five functions of the host,
;; for which the operator has to allow "checkpoint" and "upload".
(module
  ;; prepare only: takes the checkpoint; returns the number of its files
  (import "rocksnap_v1" "checkpoint" (func $checkpoint (result i32)))
  ;; writes File records, 64 bytes each, from index $start on; returns how many
  (import "rocksnap_v1" "files_read" (func $files_read (param $start i32) (param $buf i32) (param $limit i32) (param $rec_size i32) (result i32)))
  ;; submits Upload records, 16 bytes each; returns how many the host had room for
  (import "rocksnap_v1" "upload" (func $upload (param $ptr i32) (param $count i32) (param $rec_size i32) (result i32)))
  ;; waits for requests to end, and writes Completion records, 32 bytes each
  (import "rocksnap_v1" "wait" (func $wait (param $buf i32) (param $limit i32) (param $rec_size i32) (result i32)))
  ;; gives the text of the error that the export is about to return
  (import "rocksnap_v1" "error_set" (func $error_set (param $ptr i32) (param $len i32)))

  ;; Two pages of 64 KiB. There is no allocator; each buffer has its place:
  ;;      0   65536 bytes for 1024 File records
  ;;  65536   16384 bytes for 1024 Upload records
  ;;  81920   32768 bytes for 1024 Completion records
  ;; 114688   text
  (memory (export "memory") 2)
  (data (i32.const 114688) "the host accepts no request and has none under way")

  ;; Requests that the host has accepted and that have not ended.
  (global $under_way (mut i32) (i32.const 0))

  ;; The version that the module was built for: major 1, minor 0.
  (func (export "rocksnap_abi") (result i32)
    (i32.const 0x10000))

  ;; There is nothing to configure. An export returns 0 for success, or an error's
  ;; number negated.
  (func (export "rocksnap_init") (result i32)
    (i32.const 0))

  ;; The instant of the snapshot. Writers may be waiting: no data is moved here.
  (func (export "rocksnap_prepare") (result i32)
    (local $n i32)
    (local.set $n (call $checkpoint))
    (select (local.get $n) (i32.const 0) (i32.lt_s (local.get $n) (i32.const 0))))

  ;; Waits until at least one request has ended. Returns 0, or an error.
  (func $settle (result i32)
    (local $n i32) (local $i i32) (local $status i32)
    (local.set $n (call $wait (i32.const 81920) (i32.const 32768) (i32.const 32)))
    (if (i32.lt_s (local.get $n) (i32.const 0)) (then (return (local.get $n))))
    (if (i32.eqz (local.get $n)) (then ;; a host that stalls: better an error than a loop
      (call $error_set (i32.const 114688) (i32.const 50))
      (return (i32.const -16)))) ;; EINTERNAL
    (global.set $under_way (i32.sub (global.get $under_way) (local.get $n)))
    (loop $next
      ;; the status is a field of four bytes at offset 8 of a Completion
      (local.set $status (i32.load offset=81928 (i32.shl (local.get $i) (i32.const 5))))
      (if (i32.lt_s (local.get $status) (i32.const 0)) (then (return (local.get $status))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (local.get $n))))
    (i32.const 0))

  ;; Makes an Upload record of each of the first $n files.
  (func $choose (param $n i32)
    (local $i i32) (local $record i32)
    (loop $next
      (local.set $record (i32.add (i32.const 65536) (i32.shl (local.get $i) (i32.const 4))))
      ;; offset 0: the file's id, which stands at offset 0 of its record too
      (i32.store (local.get $record) (i32.load (i32.shl (local.get $i) (i32.const 6))))
      ;; offset 4: scope 0, private, and flags 0; offset 8: a value of our own
      (i32.store offset=4 (local.get $record) (i32.const 0))
      (i64.store offset=8 (local.get $record) (i64.const 0))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (local.get $n)))))

  ;; Submits the first $n Upload records. The host takes what it has room for, from
  ;; the front; when that is none, something has to end first.
  (func $submit (param $n i32) (result i32)
    (local $sent i32) (local $accepted i32) (local $failed i32)
    (loop $next
      (local.set $accepted (call $upload
        (i32.add (i32.const 65536) (i32.shl (local.get $sent) (i32.const 4)))
        (i32.sub (local.get $n) (local.get $sent))
        (i32.const 16)))
      (if (i32.lt_s (local.get $accepted) (i32.const 0)) (then (return (local.get $accepted))))
      (if (i32.eqz (local.get $accepted)) (then
        (local.set $failed (call $settle))
        (if (local.get $failed) (then (return (local.get $failed))))))
      (local.set $sent (i32.add (local.get $sent) (local.get $accepted)))
      (global.set $under_way (i32.add (global.get $under_way) (local.get $accepted)))
      (br_if $next (i32.lt_u (local.get $sent) (local.get $n))))
    (i32.const 0))

  ;; The data of that instant, while the application goes on: 1024 files at a time
  ;; until there are no more, and then what is still under way.
  (func (export "rocksnap_snapshot") (result i32)
    (local $start i32) (local $n i32) (local $failed i32)
    (block $end
      (loop $next
        (local.set $n (call $files_read (local.get $start) (i32.const 0) (i32.const 65536) (i32.const 64)))
        (if (i32.lt_s (local.get $n) (i32.const 0)) (then (return (local.get $n))))
        (br_if $end (i32.eqz (local.get $n)))
        (call $choose (local.get $n))
        (local.set $failed (call $submit (local.get $n)))
        (if (local.get $failed) (then (return (local.get $failed))))
        (local.set $start (i32.add (local.get $start) (local.get $n)))
        (br $next)))
    (loop $next
      (if (global.get $under_way) (then
        (local.set $failed (call $settle))
        (if (local.get $failed) (then (return (local.get $failed))))
        (br $next))))
    ;; The host now proves from its own ledger that every file is stored, and only
    ;; then commits. A mistake above cannot make a snapshot that does not restore.
    (i32.const 0))
)
