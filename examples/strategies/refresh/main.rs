//! refresh is an incremental strategy in Rust that stores a part of the reused
//! files anew each time, so that no object gets older than `max_age` snapshots.
//! It uses neither the standard library nor an allocator.
#![no_std]

#[path = "../../../abi/rocksnap_v1.rs"]
mod rocksnap_v1;

use core::mem::size_of;
use core::ptr::addr_of_mut;
use rocksnap_v1::*;

const PAGE: usize = 1024;
const TURN: &[u8] = b"turn"; // the state's key: the number of committed snapshots
const DEFAULT_MAX_AGE: u64 = 10;

/// An instance lives for one snapshot and runs one function at a time, hence one
/// value for everything.
struct Strategy {
    max_age: u64,
    turn: u64,
    files: [File; PAGE],
    uploads: [Upload; PAGE],
    reuses: [Reuse; PAGE],
    done: [Completion; PAGE],
    to_upload: usize,
    to_reuse: usize,
    under_way: usize,
}

const NO_FILE: File = File {
    id: 0, kind: 0, flags: 0, size: 0, number: 0, family: 0, level: 0,
    smallest_seq: 0, largest_seq: 0, oldest_blob: 0, reserved: 0,
};

static mut STRATEGY: Strategy = Strategy {
    max_age: 0, // until init; a value that is all zeros takes no room in the module
    turn: 0,
    files: [NO_FILE; PAGE],
    uploads: [Upload { file: 0, scope: 0, flags: 0, user: 0 }; PAGE],
    reuses: [Reuse { file: 0, flags: 0, user: 0 }; PAGE],
    done: [Completion { user: 0, status: 0, op: 0, bytes: 0, records: 0 }; PAGE],
    to_upload: 0,
    to_reuse: 0,
    under_way: 0,
};

fn strategy() -> &'static mut Strategy {
    unsafe { &mut *addr_of_mut!(STRATEGY) }
}

/// What a function of the host returned, or the error that the export returns.
fn check(n: i32) -> Result<usize, i32> {
    if n < 0 { Err(n) } else { Ok(n as usize) }
}

fn export(result: Result<(), i32>) -> i32 {
    result.err().unwrap_or(0)
}

#[no_mangle]
pub extern "C" fn rocksnap_abi() -> i32 {
    VERSION as i32
}

#[no_mangle]
pub extern "C" fn rocksnap_init() -> i32 {
    export(strategy().init())
}

#[no_mangle]
pub extern "C" fn rocksnap_prepare() -> i32 {
    export(strategy().prepare())
}

#[no_mangle]
pub extern "C" fn rocksnap_snapshot() -> i32 {
    export(strategy().snapshot())
}

impl Strategy {
    fn init(&mut self) -> Result<(), i32> {
        self.max_age = DEFAULT_MAX_AGE;
        let mut buf = [0; 1024];
        let n = check(unsafe { config_get(buf.as_mut_ptr(), buf.len() as u32) })?;
        let text = buf.get(..n).ok_or_else(|| fail(EINVAL, "config: longer than 1024 bytes"))?;
        for (key, value) in Settings(text) {
            if key != b"max_age" {
                return Err(fail(EINVAL, "config: the only key is max_age"));
            }
            self.max_age = match number(value) {
                Some(n) if n > 0 => n,
                _ => return Err(fail(EINVAL, "max_age must be a whole number, 1 or more")),
            };
        }
        Ok(())
    }

    /// Chooses the latest committed snapshot as the base, and then takes the
    /// checkpoint: in this order the base is never newer than the files.
    fn prepare(&mut self) -> Result<(), i32> {
        self.turn = read_turn()?;
        write_turn(self.turn + 1)?;
        let mut base = Base::default();
        let size = size_of::<Base>() as u32;
        if check(unsafe { bases_read(0, &mut base as *mut Base as *mut u8, size, size) })? > 0 {
            check(unsafe { base_use(base.slot) })?;
        }
        check(unsafe { checkpoint() })?;
        Ok(())
    }

    /// Moves the files a page at a time.
    fn snapshot(&mut self) -> Result<(), i32> {
        let mut start = 0;
        loop {
            let (buf, record) = (self.files.as_mut_ptr() as *mut u8, size_of::<File>());
            let n = check(unsafe { files_read(start as u32, buf, (PAGE * record) as u32, record as u32) })?;
            if n == 0 {
                return Ok(());
            }
            for i in 0..n {
                self.choose(self.files[i]);
            }
            self.transfer()?;
            start += n;
        }
    }

    /// Each file has its turn once in `max_age` snapshots, and different files have
    /// it at different times: the cost is spread, and no age has to be kept.
    fn is_due(&self, f: File) -> bool {
        (f.number % self.max_age + self.turn % self.max_age) % self.max_age == 0
    }

    fn choose(&mut self, f: File) {
        let recognisable = FILE_IMMUTABLE | FILE_IDENTIFIED;
        if f.flags & FILE_IN_BASE != 0 && !self.is_due(f) {
            self.reuses[self.to_reuse] = Reuse { file: f.id, flags: 0, user: f.id as u64 };
            self.to_reuse += 1;
        } else if f.flags & recognisable == recognisable {
            self.upload(f.id, SCOPE_SHARED);
        } else {
            self.upload(f.id, SCOPE_PRIVATE);
        }
    }

    fn upload(&mut self, file: u32, scope: u16) {
        self.uploads[self.to_upload] = Upload { file, scope, flags: 0, user: file as u64 };
        self.to_upload += 1;
    }

    /// Submits what was chosen and waits until all of it has ended.
    fn transfer(&mut self) -> Result<(), i32> {
        while self.to_upload + self.to_reuse + self.under_way > 0 {
            if unsafe { cancelled() } != 0 {
                return Err(-ECANCELED);
            }
            if self.offer()? == 0 {
                self.settle()?;
            }
        }
        Ok(())
    }

    /// Submits what the host has room for, and returns how much that was.
    fn offer(&mut self) -> Result<usize, i32> {
        let (mut reused, mut uploaded) = (0, 0);
        if self.to_reuse > 0 {
            let reuses = self.reuses.as_ptr() as *const u8;
            reused = check(unsafe { reuse(reuses, self.to_reuse as u32, size_of::<Reuse>() as u32) })?;
            self.reuses.copy_within(reused..self.to_reuse, 0);
            self.to_reuse -= reused;
        }
        if self.to_upload > 0 {
            let uploads = self.uploads.as_ptr() as *const u8;
            uploaded = check(unsafe { upload(uploads, self.to_upload as u32, size_of::<Upload>() as u32) })?;
            self.uploads.copy_within(uploaded..self.to_upload, 0);
            self.to_upload -= uploaded;
        }
        self.under_way += reused + uploaded;
        Ok(reused + uploaded)
    }

    /// Waits until requests have ended. Where the base's object is gone, the file
    /// is uploaded instead.
    fn settle(&mut self) -> Result<(), i32> {
        let (buf, record) = (self.done.as_mut_ptr() as *mut u8, size_of::<Completion>());
        let n = check(unsafe { wait(buf, (PAGE * record) as u32, record as u32) })?;
        if n == 0 {
            return Err(fail(EINTERNAL, "the host accepts no request and has none under way"));
        }
        self.under_way -= n;
        for i in 0..n {
            let c = self.done[i];
            if c.op == OP_REUSE && c.status == -ENOENT {
                self.upload(c.user as u32, SCOPE_SHARED);
            } else if c.status < 0 {
                return Err(c.status);
            }
        }
        Ok(())
    }
}

fn number(text: &[u8]) -> Option<u64> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

fn read_turn() -> Result<u64, i32> {
    let mut buf = [0; 20];
    let n = unsafe { state_get(TURN.as_ptr(), TURN.len() as u32, buf.as_mut_ptr(), buf.len() as u32) };
    if n == -ENOENT {
        return Ok(0);
    }
    let text = buf.get(..check(n)?);
    text.and_then(number).ok_or_else(|| fail(ECORRUPT, "state turn is not a number"))
}

/// Counts this snapshot; the host keeps the count when, and only when, it commits.
fn write_turn(mut turn: u64) -> Result<(), i32> {
    let (mut buf, mut from) = ([0u8; 20], 20);
    loop {
        from -= 1;
        buf[from] = b'0' + (turn % 10) as u8;
        turn /= 10;
        if turn == 0 {
            break;
        }
    }
    let text = &buf[from..];
    check(unsafe { state_put(TURN.as_ptr(), TURN.len() as u32, text.as_ptr(), text.len() as u32) })?;
    Ok(())
}

/// A panic says so in the log; the trap ends the run.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    say(LEVEL_ERROR, "refresh panicked");
    core::arch::wasm32::unreachable()
}
