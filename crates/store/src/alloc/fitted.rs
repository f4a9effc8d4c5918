//! Blocks of up to 8 KiB, fitted to 16 bytes.
//!
//! mimalloc has four sizes to a doubling: a value of 2,307 bytes takes 2,560 there, which leaves
//! room to grow. A value that has come to rest, or was made in one go, needs none, and takes 2,320
//! here. These blocks serve such values: nothing smaller, nothing larger, nothing that grows.
//!
//! One range of addresses is reserved, once. Half of it is for blocks of up to 1 KiB, cut into
//! spans of 32 KiB, half for larger ones, in spans of 128 KiB ([`Arena`]). The blocks of a span
//! have one size. The header of a span, which says which of its blocks are free, is a line of 64
//! bytes elsewhere: headers in the spans themselves would all fall on the same few lines of the
//! caches. A span whose last block is given back goes to the arena's pool, where any size may take
//! it. The pool keeps the memory of a few, and gives that of the others back to the system.
//!
//! **Locks.** A shelf (a size, for an eighth of the threads) has those of its spans that have free
//! blocks, in a list. Its mutex guards the list and all that changes in its spans' headers; size
//! and shelf of a span stand still as long as it has blocks in use, and are read without it. The
//! pool has a mutex of its own. Neither is held while the other is taken. Both are leaves: a caller
//! may hold any lock while it takes or gives a block.

use parking_lot::Mutex;
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap_anonymous, mprotect};
use rustix::process::{Resource, getrlimit};
use rustix::system::sysinfo;
use std::ptr::{NonNull, null_mut};
use std::sync::Once;
use std::sync::atomic::{
    AtomicPtr, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use tessera_collections::growth::{FITTED_ABOVE, FITTED_UP_TO};

/// Sizes are multiples of this, and so are addresses.
const GRAIN: usize = 16;
/// Blocks are larger than this,
const ABOVE: usize = 128;
/// small ones up to this,
const SMALL_LARGEST: usize = 1024;
/// all up to this.
const LARGEST: usize = 8192;
const SMALL_SPAN: usize = 32 << 10;
const LARGE_SPAN: usize = 128 << 10;

/// Threads that share a size's spans are those with the same number modulo this.
const SHARES: usize = 8;
/// Bytes of addresses that are reserved: so many times the machine's memory, if the system allows
/// it; else half of it, and so on.
const TIMES: usize = 4;
/// The largest part of the address space that is reserved where that is limited (`ulimit -v`):
/// everything else in the process needs addresses, too.
const SHARE_OF_LIMIT: usize = 4;
const LEAST: usize = 1 << 30;
const MOST: usize = 1 << 42;
/// Bytes for which memory is asked at once.
const STEP: usize = 16 << 20;
/// Bytes of free spans whose memory is kept, in each arena.
const KEPT: usize = 4 << 20;

static SMALL: Arena<SMALL_SPAN, ABOVE, SMALL_LARGEST, { shelves(ABOVE, SMALL_LARGEST) }> =
    Arena::new();
static LARGE: Arena<LARGE_SPAN, SMALL_LARGEST, LARGEST, { shelves(SMALL_LARGEST, LARGEST) }> =
    Arena::new();

/// The beginning of the range; null as long as there is none.
static START: AtomicPtr<u8> = AtomicPtr::new(null_mut());
/// Bytes of the range: the first half is [`SMALL`]'s, the second [`LARGE`]'s.
static LENGTH: AtomicUsize = AtomicUsize::new(0);
static RESERVE: Once = Once::new();

/// Whether a block of this many bytes could be one of these.
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

// The sizes that collections want to have fitted.
const _: () = assert!(fits(FITTED_ABOVE + 1) && fits(FITTED_UP_TO));

/// Whether a block is one of these.
#[inline]
pub(super) fn owns(block: *const u8) -> bool {
    // The length first: with it comes the start.
    let length = LENGTH.load(Acquire);
    block.addr().wrapping_sub(START.load(Relaxed).addr()) < length
}

/// Whether a block that is one of these is small.
#[inline]
fn is_small(block: *const u8) -> bool {
    block.addr() - START.load(Relaxed).addr() < LENGTH.load(Relaxed) / 2
}

/// The bytes of a block.
///
/// # Safety
/// [`owns`] it, and it was not given back.
#[inline]
pub(super) unsafe fn size_of_block(block: *const u8) -> usize {
    // SAFETY: by the caller's promise; the halves of the range are the arenas'.
    unsafe { if is_small(block) { SMALL.size_of_block(block) } else { LARGE.size_of_block(block) } }
}

/// A block for `bytes`, for which [`fits`] holds. `thread` is some number of the calling thread.
/// `None`: there is no memory, or no range.
pub(super) fn take(bytes: usize, thread: usize) -> Option<NonNull<u8>> {
    debug_assert!(fits(bytes));
    if LENGTH.load(Relaxed) == 0 && RESERVE.is_completed() {
        return None;
    }
    let size = fitted(bytes);
    if size <= SMALL_LARGEST { SMALL.take(size, thread) } else { LARGE.take(size, thread) }
}

/// Gives a block back.
///
/// # Safety
/// [`owns`] it, it was taken, and it is not used any more.
pub(super) unsafe fn give(block: *mut u8) {
    // SAFETY: by the caller's promise; the halves of the range are the arenas'.
    unsafe { if is_small(block) { SMALL.give(block) } else { LARGE.give(block) } }
}

/// Gives the memory of all free spans back to the system.
pub(super) fn purge() {
    SMALL.purge();
    LARGE.purge();
}

/// The number of a span.
type SpanId = u32;
/// No span.
const NONE: SpanId = SpanId::MAX;

/// A span's blocks: which are free, and where it stands in the list of its shelf, or of the pool.
#[repr(C, align(64))]
struct Span {
    /// A bit for each free block.
    free: [u64; BITMAP],
    /// Bytes of a block.
    size: u32,
    prev: SpanId,
    next: SpanId,
    shelf: u16,
    blocks: u16,
    used: u16,
}

const BITMAP: usize = 4;
const _: () = assert!(size_of::<Span>() == 64);

/// The spans of one size with free blocks: the first of a list.
struct Shelf(Mutex<SpanId>);

/// Shelves for sizes from one, excluded, to another.
const fn shelves(above: usize, largest: usize) -> usize {
    SHARES * (largest - above) / GRAIN
}

/// Blocks larger than `ABOVE` and up to `MAX`, in spans of `SPAN` bytes.
struct Arena<const SPAN: usize, const ABOVE: usize, const MAX: usize, const SHELVES: usize> {
    shelves: [Shelf; SHELVES],
    pool: Mutex<Pool>,
    /// The beginning of the spans; null as long as there is no range.
    start: AtomicPtr<u8>,
    /// The beginning of their headers.
    headers: AtomicPtr<Span>,
    /// How many there may be.
    spans: AtomicUsize,
}

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

impl<const SPAN: usize, const ABOVE: usize, const MAX: usize, const SHELVES: usize>
    Arena<SPAN, ABOVE, MAX, SHELVES>
{
    const FITS: () = assert!(SPAN / (ABOVE + GRAIN) <= BITMAP * 64);
    const PER_SHARE: usize = SHELVES / SHARES;

    const fn new() -> Self {
        let () = Self::FITS;
        Arena {
            shelves: [const { Shelf(Mutex::new(NONE)) }; SHELVES],
            pool: Mutex::new(Pool { made: 0, kept: NONE, kept_len: 0, bare: NONE }),
            start: AtomicPtr::new(null_mut()),
            headers: AtomicPtr::new(null_mut()),
            spans: AtomicUsize::new(0),
        }
    }

    #[inline]
    fn header(&self, span: SpanId) -> *mut Span {
        self.headers.load(Relaxed).wrapping_add(span as usize)
    }

    #[inline]
    fn offset(&self, block: *const u8) -> usize {
        block.addr() - self.start.load(Relaxed).addr()
    }

    #[inline]
    fn span_of(&self, block: *const u8) -> SpanId {
        (self.offset(block) / SPAN) as SpanId
    }

    fn shelf(&self, size: usize, thread: usize) -> usize {
        (thread % SHARES) * Self::PER_SHARE + (size - ABOVE) / GRAIN - 1
    }

    /// # Safety
    /// The block is this arena's, and was not given back.
    #[inline]
    unsafe fn size_of_block(&self, block: *const u8) -> usize {
        // SAFETY: the span has a block in use, so its size stands still.
        unsafe { (*self.header(self.span_of(block))).size as usize }
    }

    fn take(&self, size: usize, thread: usize) -> Option<NonNull<u8>> {
        let shelf = self.shelf(size, thread);
        let mut first = self.shelves[shelf].0.lock();
        if *first == NONE {
            drop(first);
            let new = self.take_span()?;
            // SAFETY: no other thread has this span now.
            unsafe { self.header(new).write(Span::new(SPAN / size, size, shelf)) };
            first = self.shelves[shelf].0.lock();
            // SAFETY: the shelf is locked; the span is in no list.
            unsafe { self.link(&mut first, new) };
        }
        let id = *first;
        // SAFETY: the shelf is locked, and all spans in its list have a free block.
        unsafe {
            let span = &mut *self.header(id);
            let at = span.take();
            if span.used == span.blocks {
                self.unlink(&mut first, id);
            }
            let start = self.start.load(Relaxed).add(id as usize * SPAN + at * size);
            Some(NonNull::new_unchecked(start))
        }
    }

    /// # Safety
    /// The block is this arena's, was taken, and it is not used any more.
    unsafe fn give(&self, block: *mut u8) {
        let id = self.span_of(block);
        let span = self.header(id);
        // SAFETY: the span has a block in use, so these two stand still.
        let (size, shelf) = unsafe { ((*span).size, (*span).shelf as usize) };
        let at = (self.offset(block) % SPAN) as u32 / size;
        let mut first = self.shelves[shelf].0.lock();
        // SAFETY: the shelf is locked.
        let used = unsafe {
            if !(*span).give(at as usize) {
                // The message may need memory, perhaps from this very shelf.
                drop(first);
                panic!("a block is given back once");
            }
            if (*span).used + 1 == (*span).blocks {
                self.link(&mut first, id);
            }
            if (*span).used == 0 {
                self.unlink(&mut first, id);
            }
            (*span).used
        };
        drop(first);
        if used == 0 {
            // In no list any more, and none of its blocks is in use: this thread's alone.
            self.give_span(id);
        }
    }

    fn take_span(&self) -> Option<SpanId> {
        let mut pool = self.pool.lock();
        if let Some(span) = self.take_kept(&mut pool) {
            return Some(span);
        }
        let span = pool.bare;
        if span != NONE {
            // SAFETY: the pool is locked.
            unsafe { self.unlink(&mut pool.bare, span) };
            return Some(span);
        }
        self.make_span(&mut pool)
    }

    fn take_kept(&self, pool: &mut Pool) -> Option<SpanId> {
        let span = pool.kept;
        if span == NONE {
            return None;
        }
        pool.kept_len -= 1;
        // SAFETY: the pool is locked, since the caller has `pool`.
        unsafe { self.unlink(&mut pool.kept, span) };
        Some(span)
    }

    /// A span that never was one. Once in [`STEP`] bytes the system is asked to let the next ones
    /// be written to, which takes microseconds.
    fn make_span(&self, pool: &mut Pool) -> Option<SpanId> {
        RESERVE.call_once(reserve);
        if pool.made == self.spans.load(Relaxed) {
            return None;
        }
        let at_once = STEP / SPAN;
        if pool.made.is_multiple_of(at_once) {
            let start = self.start.load(Relaxed).wrapping_add(pool.made * SPAN);
            let headers = self.headers.load(Relaxed).wrapping_add(pool.made);
            allow(start, STEP)?;
            // From where a page begins, whatever its size: on it there may be headers of the step
            // before, too.
            let before = headers.addr() % SMALL_SPAN;
            let bytes = before + at_once * size_of::<Span>();
            allow(headers.cast::<u8>().wrapping_sub(before), bytes)?;
        }
        pool.made += 1;
        Some((pool.made - 1) as SpanId)
    }

    fn give_span(&self, span: SpanId) {
        let mut pool = self.pool.lock();
        if pool.kept_len < KEPT / SPAN {
            pool.kept_len += 1;
            // SAFETY: the pool is locked; the caller has taken the span from its list.
            unsafe { self.link(&mut pool.kept, span) };
            return;
        }
        drop(pool);
        self.give_memory(span);
    }

    /// Gives a span's memory back to the system, and then the span to the pool; no other thread has
    /// it.
    fn give_memory(&self, span: SpanId) {
        let start = self.start.load(Relaxed).wrapping_add(span as usize * SPAN);
        // SAFETY: the span is mapped, and its content is not used. If it fails, memory is kept, and
        // that is all.
        let _ = unsafe { madvise(start.cast(), SPAN, Advice::LinuxDontNeed) };
        let mut pool = self.pool.lock();
        // SAFETY: the pool is locked; the span is in no list.
        unsafe { self.link(&mut pool.bare, span) };
    }

    fn purge(&self) {
        loop {
            let span = self.take_kept(&mut self.pool.lock());
            let Some(span) = span else { return };
            self.give_memory(span);
        }
    }

    /// Puts a span, which is in no list, at the head of one.
    ///
    /// # Safety
    /// The list's lock is held.
    unsafe fn link(&self, first: &mut SpanId, id: SpanId) {
        // SAFETY: headers of spans in lists exist, and change only under the list's lock.
        unsafe {
            (*self.header(id)).prev = NONE;
            (*self.header(id)).next = *first;
            if *first != NONE {
                (*self.header(*first)).prev = id;
            }
        }
        *first = id;
    }

    /// Takes a span out of a list.
    ///
    /// # Safety
    /// As for [`Arena::link`]; the span is in this list.
    unsafe fn unlink(&self, first: &mut SpanId, id: SpanId) {
        // SAFETY: as in `link`.
        unsafe {
            let (prev, next) = ((*self.header(id)).prev, (*self.header(id)).next);
            if next != NONE {
                (*self.header(next)).prev = prev;
            }
            match prev {
                NONE => *first = next,
                prev => (*self.header(prev)).next = next,
            }
        }
    }

    /// Takes its half of the range in. Before anything else has a look at it.
    fn lay_out(&self, start: *mut u8, headers: *mut Span, bytes: usize) {
        self.start.store(start, Relaxed);
        self.headers.store(headers, Relaxed);
        self.spans.store(bytes / SPAN, Relaxed);
    }
}

impl Span {
    fn new(blocks: usize, size: usize, shelf: usize) -> Span {
        let mut free = [0; BITMAP];
        for (word, bits) in free.iter_mut().enumerate() {
            let here = blocks.saturating_sub(word * 64).min(64);
            *bits = if here == 0 { 0 } else { u64::MAX >> (64 - here) };
        }
        let (size, shelf, blocks) = (size as u32, shelf as u16, blocks as u16);
        Span { free, size, prev: NONE, next: NONE, shelf, blocks, used: 0 }
    }

    /// Takes the first free block; there is one.
    fn take(&mut self) -> usize {
        let word = self.free.iter().position(|bits| *bits != 0);
        let word = word.expect("a span in the list has a free block");
        let bit = self.free[word].trailing_zeros() as usize;
        self.free[word] &= self.free[word] - 1;
        self.used += 1;
        word * 64 + bit
    }

    /// Gives a block back. False: it was not taken.
    fn give(&mut self, at: usize) -> bool {
        let (word, bit) = (at / 64, 1 << (at % 64));
        let is_taken = self.free[word] & bit == 0;
        if is_taken {
            self.free[word] |= bit;
            self.used -= 1;
        }
        is_taken
    }
}

/// Lets addresses of the range be used.
fn allow(start: *mut u8, bytes: usize) -> Option<()> {
    // SAFETY: the addresses are reserved for this, and are not used yet.
    unsafe { mprotect(start.cast(), bytes, MprotectFlags::READ | MprotectFlags::WRITE) }.ok()
}

/// Reserves the range: addresses without memory. If the system refuses, or allows few (`ulimit
/// -v`), there is none, and no block. Nor where pages are larger than spans: memory could not be
/// given back span by span.
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
    let allowed = getrlimit(Resource::As).current.map_or(usize::MAX, |bytes| bytes as usize);
    let mut length = memory.saturating_mul(TIMES).clamp(LEAST, MOST).next_power_of_two();
    while length > allowed / SHARE_OF_LIMIT {
        length /= 2;
    }
    while length >= LEAST {
        let half = length / 2;
        let small_headers = half / SMALL_SPAN * size_of::<Span>();
        let headers = small_headers + half / LARGE_SPAN * size_of::<Span>();
        // One span more, so that the first can begin at a multiple of its size. The addresses in
        // front of it are lost, but no memory.
        if let Some(start) = map(length + LARGE_SPAN + headers) {
            let start = start.wrapping_add(start.align_offset(LARGE_SPAN));
            // SAFETY: the addresses are this range's own, and of no use yet, as before.
            let second = unsafe {
                mprotect(start.add(SMALL_SPAN).cast(), SMALL_SPAN, MprotectFlags::empty())
            };
            if second.is_err() {
                // A page does not begin here.
                return;
            }
            // A page of 2 MiB for a few blocks would be a waste.
            // SAFETY: the addresses are this range's own.
            let _ = unsafe { madvise(start.cast(), length, Advice::LinuxNoHugepage) };
            let headers = start.wrapping_add(length);
            SMALL.lay_out(start, headers.cast(), half);
            let (start_of_large, headers) =
                (start.wrapping_add(half), headers.wrapping_add(small_headers));
            LARGE.lay_out(start_of_large, headers.cast(), half);
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
        // SAFETY: the block was taken with this many bytes, and is used here for the last time.
        unsafe {
            let bytes = std::slice::from_raw_parts(block.as_ptr(), bytes);
            assert!(bytes.iter().all(|byte| *byte == bytes.len() as u8), "nobody else wrote here");
            give(block.as_ptr());
        }
    }

    #[test]
    fn every_size_has_its_blocks() {
        assert!(!fits(128) && fits(129) && fits(8192) && !fits(8193));
        let blocks: Vec<_> = (ABOVE + 1..=LARGEST).map(|bytes| (taken(bytes, 5), bytes)).collect();
        blocks.into_iter().for_each(|(block, bytes)| given(block, bytes));
        assert!(!owns(Box::new(0u8).as_ref()));
    }

    /// Takes and gives three spans of blocks of each size, in an arena that no other test uses.
    fn fill_spans<const SPAN: usize, const ABOVE: usize, const MAX: usize, const SHELVES: usize>(
        sizes: &[(usize, usize)],
    ) {
        const BYTES: usize = 64 << 20;
        let arena: Arena<SPAN, ABOVE, MAX, SHELVES> = Arena::new();
        let headers = BYTES / SPAN * size_of::<Span>() + SPAN;
        // SAFETY: new addresses, wherever the system wants them; they stay mapped.
        let mapped = unsafe {
            let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
            mmap_anonymous(null_mut(), SPAN + BYTES + headers, ProtFlags::empty(), flags)
        };
        let start = mapped.expect("addresses").cast::<u8>();
        let start = start.wrapping_add(start.align_offset(SPAN));
        arena.lay_out(start, start.wrapping_add(BYTES).cast(), BYTES);
        for (bytes, in_span) in sizes {
            let size = fitted(*bytes);
            let blocks: Vec<_> =
                (0..3 * in_span).map(|_| arena.take(size, 7).expect("memory")).collect();
            let mut addresses: Vec<_> = blocks.iter().map(|block| block.addr().get()).collect();
            addresses.sort_unstable();
            let apart = addresses.windows(2).filter(|two| two[1] - two[0] > size).count();
            assert!(apart <= 2, "{bytes}: no more spans than it takes, {apart}");
            for block in blocks {
                // SAFETY: the block was taken, and is not used.
                unsafe { arena.give(block.as_ptr()) };
            }
        }
        let is_bare = arena.shelves.iter().all(|shelf| *shelf.0.lock() == NONE);
        assert!(is_bare, "empty spans are the pool's");
    }

    #[test]
    fn a_span_is_filled_and_comes_back() {
        fill_spans::<SMALL_SPAN, ABOVE, SMALL_LARGEST, { shelves(ABOVE, SMALL_LARGEST) }>(&[
            (140, 227),
            (500, 64),
            (1000, 32),
        ]);
        fill_spans::<LARGE_SPAN, SMALL_LARGEST, LARGEST, { shelves(SMALL_LARGEST, LARGEST) }>(&[
            (1030, 126),
            (8192, 16),
        ]);
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
                        let bytes = 129 + (random % 64) as usize * 121;
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
