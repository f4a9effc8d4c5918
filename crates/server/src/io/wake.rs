//! The protocol by which a thread is woken once for many reasons.
//!
//! A thread that has something for this one does it first and then raises the flag; it writes the
//! event only if it finds the flag lowered. The thread reads the event, lowers the flag and then
//! looks at everything. Both are exchanges: a thread that finds the flag raised wrote no event, so
//! the exchange that lowers it must acquire what was done before.

use std::sync::atomic::{AtomicBool, Ordering};

/// The one operation that the protocol needs of a flag; a model checker brings its own.
pub(super) trait Exchange: Default {
    /// Stores `value`, gives the one before; acquires and releases.
    fn exchange(&self, value: bool) -> bool;
}

impl Exchange for AtomicBool {
    #[inline]
    fn exchange(&self, value: bool) -> bool {
        self.swap(value, Ordering::AcqRel)
    }
}

/// Set while an event is on its way to the thread.
#[derive(Default)]
pub(super) struct WakeFlag<B = AtomicBool>(B);

impl<B: Exchange> WakeFlag<B> {
    /// There is something for the thread. True: the caller has to write the event.
    #[inline]
    #[must_use]
    pub(super) fn raise(&self) -> bool {
        !self.0.exchange(true)
    }

    /// The thread has read the event, and looks now.
    #[inline]
    pub(super) fn lower(&self) {
        self.0.exchange(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loom::sync::atomic::{AtomicBool as LoomBool, AtomicUsize as LoomUsize};
    use loom::sync::{Arc, Condvar, Mutex};

    impl Exchange for LoomBool {
        fn exchange(&self, value: bool) -> bool {
            self.swap(value, Ordering::AcqRel)
        }
    }

    /// A thread that sleeps on an event, and two that have something for it.
    #[derive(Default)]
    struct Model {
        flag: WakeFlag<LoomBool>,
        event: Mutex<bool>,
        written: Condvar,
        done: [LoomUsize; 2],
    }

    impl Model {
        fn wake(&self, who: usize) {
            // Relaxed: nothing but the protocol makes it visible.
            self.done[who].store(1, Ordering::Relaxed);
            if self.flag.raise() {
                *self.event.lock().unwrap() = true;
                self.written.notify_one();
            }
        }

        /// Sleeps until all has been seen. A lost wake-up is a deadlock here, which loom reports.
        fn serve(&self) {
            while self.done.iter().any(|done| done.load(Ordering::Relaxed) == 0) {
                let mut event = self.event.lock().unwrap();
                while !*event {
                    event = self.written.wait(event).unwrap();
                }
                *event = false;
                drop(event);
                self.flag.lower();
            }
        }
    }

    #[test]
    fn no_wake_up_is_lost() {
        let mut builder = loom::model::Builder::new();
        // Enough to come between any two steps of the protocol, and quick.
        builder.preemption_bound = Some(2);
        builder.check(|| {
            let model = Arc::new(Model::default());
            let wakers = [0, 1].map(|who| {
                let model = Arc::clone(&model);
                loom::thread::spawn(move || model.wake(who))
            });
            model.serve();
            wakers.into_iter().for_each(|waker| waker.join().unwrap());
        });
    }
}
