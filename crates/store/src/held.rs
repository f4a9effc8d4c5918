//! Whether this thread has entered the world. A thread that has must not call into the system in a
//! way that can block: others would wait for it, and with them all of their clients. Debug builds
//! check it where such calls are made, so every test does.

use std::marker::PhantomData;

#[cfg(debug_assertions)]
thread_local! {
    /// How many worlds this thread has entered and not left.
    static HELD: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Stands for a world that this thread has entered. Nothing, in a release build.
pub(crate) struct Held(PhantomData<*const ()>);

impl Held {
    #[inline]
    pub(crate) fn new() -> Held {
        #[cfg(debug_assertions)]
        HELD.set(HELD.get() + 1);
        Held(PhantomData)
    }
}

#[cfg(debug_assertions)]
impl Drop for Held {
    fn drop(&mut self) {
        HELD.set(HELD.get() - 1);
    }
}

/// As long as this is there, what this thread has entered before does not count: its command waits
/// while others run.
pub(crate) struct Outside {
    #[cfg(debug_assertions)]
    before: usize,
    _thread: PhantomData<*const ()>,
}

impl Outside {
    pub(crate) fn new() -> Outside {
        Outside {
            #[cfg(debug_assertions)]
            before: HELD.replace(0),
            _thread: PhantomData,
        }
    }
}

#[cfg(debug_assertions)]
impl Drop for Outside {
    fn drop(&mut self) {
        HELD.set(self.before);
    }
}

/// Checks that this thread has no slot locked and has left the world, since `what` can block.
///
/// # Panics
/// In a debug build, if it has not.
#[inline]
#[track_caller]
pub fn assert_unlocked(what: &str) {
    #[cfg(debug_assertions)]
    assert_eq!(HELD.get(), 0, "{what} can block, and this thread is in the world");
    let _ = what;
}
