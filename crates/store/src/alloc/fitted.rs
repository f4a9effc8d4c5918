//! Blocks of 1 to 8 KiB, fitted to 16 bytes.
//!
//! mimalloc has four sizes to a doubling: a value of 2,307 bytes takes 2,560 there, which leaves room to grow. A value that has come to rest, or
//! was made in one go, needs none, and takes 2,320 here. Single blocks for that are what this is for, nothing smaller, nothing larger, nothing that grows.
//!
//! One range of addresses is reserved, once, and cut into spans of 128 KiB. The blocks of a span have one size. Which of them are free stands
//! apart, in a line of 64 bytes for each span: headers in the spans themselves would all fall on the same few lines of the caches. A span
//! whose last block is given back goes to the pool, where any size may take it. The pool keeps the memory of a few, and gives that of the others
//! back to the system.
//!
//! **Locks.** A shelf (a size, for an eighth of the threads) has those of its spans that have free blocks, in a list. Its mutex guards the list and all that
//! changes in its spans' headers; size and shelf of a span stand still as long as it has blocks in use, and are read without it. The pool has a mutex
//! of its own. Neither is held while the other is taken. Both are leaves: any lock may be held by who takes or gives a block.

use parking_lot::Mutex;
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap_anonymous, mprotect};
use rustix::system::sysinfo;
use std::ptr::{NonNull, null_mut};
use std::sync::Once;
use std::sync::atomic::{
    AtomicPtr, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

/// Blocks are larger than this.
const ABOVE: usize = 1024;
/// The largest block.
const LARGEST: usize = 8192;
/// Sizes are multiples of this, and so are addresses.
const GRAIN: usize = 16;
const SIZES: usize = (LARGEST - ABOVE) / GRAIN;
/// Threads that share a size's spans are those with the same number modulo this.
const SHARES: usize = 8;

const SPAN: usize = 128 << 10;
/// Bytes of addresses that are reserved: so many times the machine's memory, if the system allows it; else half of it, and so on.
const TIMES: usize = 4;
const LEAST: usize = 1 << 30;
const MOST: usize = 1 << 42;
/// Spans whose memory is asked for at once.
const STEP: usize = 128;
/// Free spans whose memory is kept: 4 MiB.
const KEPT: usize = 32;

/// The number of a span.
type SpanId = u32;
/// No span.
const NONE: SpanId = SpanId::MAX;

/// A span's blocks: which are free, and where it stands in the list of its shelf, or of the pool.
#[repr(C, align(64))]
struct Span {
    /// A bit for each free block.
    free: [u64; 2],
    /// Bytes of a block.
    size: u32,
    shelf: u16,
    blocks: u16,
    used: u16,
    prev: SpanId,
    next: SpanId,
}

const _: () = assert!(size_of::<Span>() == 64 && SPAN / ABOVE <= 128);

/// The spans of one size with free blocks: the first of a list.
struct Shelf(Mutex<SpanId>);

static SHELVES: [Shelf; SHARES * SIZES] = [const { Shelf(Mutex::new(NONE)) }; SHARES * SIZES];

/// Where the spans begin; null as long as there is no range.
static START: AtomicPtr<u8> = AtomicPtr::new(null_mut());
/// Where their headers begin.
static HEADERS: AtomicPtr<Span> = AtomicPtr::new(null_mut());
/// Bytes of the range.
static LENGTH: AtomicUsize = AtomicUsize::new(0);
static RESERVE: Once = Once::new();

/// The spans that no shelf has.
struct Pool {
    /// Spans that were asked for so far.
    made: usize,
    /// Free spans with memory: the first of a list, and how many.
    kept: SpanId,
    kept_len: usize,
    /// Free spans without.
    bare: SpanId,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { made: 0, kept: NONE, kept_len: 0, bare: NONE });

/// Whether a block of so many bytes could be one of these.
#[inline]
pub(super) const fn fits(bytes: usize) -> bool {
    ABOVE < bytes && bytes <= LARGEST
}

/// Bytes of a block that is taken for so many.
#[inline]
pub(super) const fn fitted(bytes: usize) -> usize {
    bytes.next_multiple_of(GRAIN)
}

/// The alignment that blocks have.
pub(super) const ALIGNMENT: usize = GRAIN;

/// Whether a block is one of these.
#[inline]
pub(super) fn owns(block: *const u8) -> bool {
    // The length first: with it comes the start.
    let length = LENGTH.load(Acquire);
    block.addr().wrapping_sub(START.load(Relaxed).addr()) < length
}

/// The bytes of a block.
///
/// # Safety
/// [`owns`] it, and it was not given back.
#[inline]
pub(super) unsafe fn size_of_block(block: *const u8) -> usize {
    // SAFETY: the span has a block in use, so its size stands still.
    unsafe { (*header(span_of(block))).size as usize }
}

#[inline]
fn header(span: SpanId) -> *mut Span {
    HEADERS.load(Relaxed).wrapping_add(span as usize)
}

#[inline]
fn span_of(block: *const u8) -> SpanId {
    ((block.addr() - START.load(Relaxed).addr()) / SPAN) as SpanId
}

/// A block for `bytes`, for which [`fits`] holds. `thread` is some number of the calling thread. `None`: there is no memory, or no range.
pub(super) fn take(bytes: usize, thread: usize) -> Option<NonNull<u8>> {
    debug_assert!(fits(bytes));
    let size = fitted(bytes);
    let shelf = (thread % SHARES) * SIZES + (size - ABOVE) / GRAIN - 1;
    let mut first = SHELVES[shelf].0.lock();
    if *first == NONE {
        drop(first);
        let new = POOL.lock().take()?;
        // SAFETY: nobody else has this span now.
        unsafe {
            header(new).write(Span::new(size, shelf));
        }
        first = SHELVES[shelf].0.lock();
        // SAFETY: the shelf is locked; the span is in no list.
        unsafe { link(&mut first, new) };
    }
    let id = *first;
    // SAFETY: the shelf is locked, and all spans in its list have a free block.
    unsafe {
        let span = &mut *header(id);
        let at = span.take();
        if span.used == span.blocks {
            unlink(&mut first, id);
        }
        let start = START.load(Relaxed).add(id as usize * SPAN + at * size);
        Some(NonNull::new_unchecked(start))
    }
}

/// Gives a block back.
///
/// # Safety
/// [`owns`] it, it was taken, and nobody uses it any more.
pub(super) unsafe fn give(block: *mut u8) {
    let id = span_of(block);
    let span = header(id);
    // SAFETY: the span has a block in use, so these two stand still.
    let (size, shelf) = unsafe { ((*span).size as usize, (*span).shelf as usize) };
    let at = (block.addr() - START.load(Relaxed).addr()) % SPAN / size;
    let mut first = SHELVES[shelf].0.lock();
    // SAFETY: the shelf is locked.
    let used = unsafe {
        let span = &mut *span;
        span.give(at);
        if span.used + 1 == span.blocks {
            link(&mut first, id);
        }
        if span.used == 0 {
            unlink(&mut first, id);
        }
        span.used
    };
    drop(first);
    if used == 0 {
        // In no list any more, and none of its blocks is in use: this thread's alone.
        give_span(id);
    }
}

/// Gives the memory of all free spans back to the system.
pub(super) fn purge() {
    loop {
        let mut pool = POOL.lock();
        let Some(span) = pool.take_kept() else { return };
        drop(pool);
        discard(span);
        POOL.lock().put_bare(span);
    }
}

fn give_span(span: SpanId) {
    let mut pool = POOL.lock();
    if pool.kept_len < KEPT {
        return pool.keep(span);
    }
    drop(pool);
    discard(span);
    POOL.lock().put_bare(span);
}

/// Gives a span's memory back to the system; nobody else has the span.
fn discard(span: SpanId) {
    let start = START.load(Relaxed).wrapping_add(span as usize * SPAN);
    // SAFETY: the span is mapped, and nobody uses what is in it. If it fails, memory is kept, and that is all.
    let _ = unsafe { madvise(start.cast(), SPAN, Advice::LinuxDontNeed) };
}

/// Puts a span, which is in no list, at the head of one.
///
/// # Safety
/// The list's lock is held.
unsafe fn link(first: &mut SpanId, id: SpanId) {
    // SAFETY: headers of spans in lists exist, and change only under the list's lock.
    unsafe {
        (*header(id)).prev = NONE;
        (*header(id)).next = *first;
        if *first != NONE {
            (*header(*first)).prev = id;
        }
    }
    *first = id;
}

/// Takes a span out of a list.
///
/// # Safety
/// As for [`link`]; the span is in this list.
unsafe fn unlink(first: &mut SpanId, id: SpanId) {
    // SAFETY: as in `link`.
    unsafe {
        let (prev, next) = ((*header(id)).prev, (*header(id)).next);
        if next != NONE {
            (*header(next)).prev = prev;
        }
        match prev {
            NONE => *first = next,
            prev => (*header(prev)).next = next,
        }
    }
}

impl Span {
    fn new(size: usize, shelf: usize) -> Span {
        let blocks = SPAN / size;
        let all = u128::MAX >> (128 - blocks as u32);
        Span {
            free: [all as u64, (all >> 64) as u64],
            size: size as u32,
            shelf: shelf as u16,
            blocks: blocks as u16,
            used: 0,
            prev: NONE,
            next: NONE,
        }
    }

    /// Takes the first free block; there is one.
    fn take(&mut self) -> usize {
        let word = usize::from(self.free[0] == 0);
        let bit = self.free[word].trailing_zeros();
        assert!(bit < 64, "a span in the list has a free block");
        self.free[word] &= self.free[word] - 1;
        self.used += 1;
        word * 64 + bit as usize
    }

    fn give(&mut self, at: usize) {
        let (word, bit) = (at / 64, 1 << (at % 64));
        assert!(self.free[word] & bit == 0, "a block is given back once");
        self.free[word] |= bit;
        self.used -= 1;
    }
}

impl Pool {
    fn take(&mut self) -> Option<SpanId> {
        if let Some(span) = self.take_kept() {
            return Some(span);
        }
        let span = self.bare;
        if span != NONE {
            // SAFETY: the pool is locked, by whoever has `self`.
            unsafe { unlink(&mut self.bare, span) };
            return Some(span);
        }
        self.make()
    }

    fn take_kept(&mut self) -> Option<SpanId> {
        let span = self.kept;
        if span == NONE {
            return None;
        }
        self.kept_len -= 1;
        // SAFETY: as in `take`.
        unsafe { unlink(&mut self.kept, span) };
        Some(span)
    }

    fn keep(&mut self, span: SpanId) {
        self.kept_len += 1;
        // SAFETY: as in `take`; who puts it here has taken it from its list.
        unsafe { link(&mut self.kept, span) };
    }

    fn put_bare(&mut self, span: SpanId) {
        // SAFETY: as in `keep`.
        unsafe { link(&mut self.bare, span) };
    }

    /// A span that never was one. Once in [`STEP`] times the system is asked to let the next ones be written to, which takes microseconds.
    fn make(&mut self) -> Option<SpanId> {
        RESERVE.call_once(reserve);
        if self.made == LENGTH.load(Relaxed) / SPAN {
            return None;
        }
        if self.made.is_multiple_of(STEP) {
            let start = START.load(Relaxed).wrapping_add(self.made * SPAN);
            let headers = HEADERS.load(Relaxed).wrapping_add(self.made);
            allow(start, STEP * SPAN)?;
            allow(headers.cast(), STEP * size_of::<Span>())?;
        }
        self.made += 1;
        Some((self.made - 1) as SpanId)
    }
}

/// Lets addresses of the range be used.
fn allow(start: *mut u8, bytes: usize) -> Option<()> {
    // SAFETY: the addresses are reserved for this, and nobody uses them yet.
    unsafe { mprotect(start.cast(), bytes, MprotectFlags::READ | MprotectFlags::WRITE) }.ok()
}

/// Reserves the range: addresses without memory. If the system refuses (a limit of addresses, `ulimit -v`), there is none, and no block.
fn reserve() {
    let map = |bytes: usize| {
        // SAFETY: new addresses, wherever the system wants them.
        let mapped = unsafe {
            let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
            mmap_anonymous(null_mut(), bytes, ProtFlags::empty(), flags)
        };
        mapped.ok().map(|start| start.cast::<u8>())
    };
    let memory = sysinfo().totalram as usize;
    let mut length = memory.saturating_mul(TIMES).clamp(LEAST, MOST).next_power_of_two();
    while length >= LEAST {
        let headers = length / SPAN * size_of::<Span>();
        // A span more, to begin at a multiple of its size. What is in front of it is lost: addresses, no memory.
        if let Some(start) = map(length + SPAN + headers) {
            let start = start.wrapping_add(start.align_offset(SPAN));
            // A page of 2 MiB for a few blocks would be a waste.
            // SAFETY: the addresses are this range's own.
            let _ = unsafe { madvise(start.cast(), length, Advice::LinuxNoHugepage) };
            HEADERS.store(start.wrapping_add(length).cast(), Relaxed);
            START.store(start, Relaxed);
            LENGTH.store(length, Release);
            return;
        }
        length /= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a block and marks it.
    fn taken(bytes: usize, thread: usize) -> NonNull<u8> {
        let block = take(bytes, thread).expect("memory");
        assert!(owns(block.as_ptr()) && block.addr().get().is_multiple_of(ALIGNMENT));
        // SAFETY: the block was just taken.
        unsafe {
            assert_eq!(size_of_block(block.as_ptr()), fitted(bytes));
            block.write_bytes(bytes as u8, bytes);
        }
        block
    }

    /// Looks at the mark and gives the block back.
    fn given(block: NonNull<u8>, bytes: usize) {
        // SAFETY: the block was taken with so many bytes, and is used here for the last time.
        unsafe {
            let bytes = std::slice::from_raw_parts(block.as_ptr(), bytes);
            assert!(bytes.iter().all(|byte| *byte == bytes.len() as u8), "nobody else wrote here");
            give(block.as_ptr());
        }
    }

    #[test]
    fn every_size_has_its_blocks() {
        assert!(!fits(1024) && fits(1025) && fits(8192) && !fits(8193));
        let blocks: Vec<_> = (ABOVE + 1..=LARGEST).map(|bytes| (taken(bytes, 5), bytes)).collect();
        blocks.into_iter().for_each(|(block, bytes)| given(block, bytes));
        assert!(!owns(Box::new(0u8).as_ref()));
    }

    #[test]
    fn a_span_is_filled_and_comes_back() {
        // No other test takes blocks as this thread.
        let count = 3 * (SPAN / 1040);
        let blocks: Vec<_> = (0..count).map(|_| taken(1030, 7)).collect();
        let mut spans: Vec<_> = blocks.iter().map(|block| span_of(block.as_ptr())).collect();
        spans.dedup();
        assert_eq!(spans.len(), 3, "no more spans than it takes");
        blocks.into_iter().for_each(|block| given(block, 1030));
        let shelf = 7 * SIZES + (1040 - ABOVE) / GRAIN - 1;
        assert_eq!(*SHELVES[shelf].0.lock(), NONE, "an empty span goes to the pool");
    }

    #[test]
    fn blocks_are_taken_and_given_by_many_threads() {
        const THREADS: usize = 8;
        const HELD: usize = 500;
        let (send, receive) = std::sync::mpsc::channel::<(usize, usize)>();
        let receive = Mutex::new(receive);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (send, receive) = (send.clone(), &receive);
                scope.spawn(move || {
                    let mut random = (thread as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    let mut held = Vec::new();
                    for step in 0..20_000 {
                        random ^= random << 13;
                        random ^= random >> 7;
                        random ^= random << 17;
                        // Few sizes, so that threads meet at them.
                        let bytes = 1025 + (random % 64) as usize * 113;
                        held.push((taken(bytes, thread), bytes));
                        if held.len() > HELD {
                            let (block, bytes) = held.swap_remove(random as usize % HELD);
                            // Half of the blocks are given back by other threads.
                            if step % 2 == 0 {
                                given(block, bytes);
                            } else {
                                send.send((block.as_ptr().expose_provenance(), bytes)).unwrap();
                            }
                        }
                        if step % 3 == 0
                            && let Ok((block, bytes)) = receive.lock().try_recv()
                        {
                            let block = std::ptr::with_exposed_provenance_mut(block);
                            given(NonNull::new(block).unwrap(), bytes);
                        }
                        if step % 5_000 == 0 {
                            purge();
                        }
                    }
                    held.into_iter().for_each(|(block, bytes)| given(block, bytes));
                });
            }
        });
        drop(send);
        for (block, bytes) in receive.into_inner() {
            given(NonNull::new(std::ptr::with_exposed_provenance_mut(block)).unwrap(), bytes);
        }
    }
}
