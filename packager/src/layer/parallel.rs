//! Work on several layers at a time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Layers that are packed at a time: more only wait for the disk, and each holds some megabytes.
const MAX_THREADS: usize = 4;

/// Returns how many layers to pack at a time on this machine.
pub(super) fn threads() -> usize {
    thread::available_parallelism().map_or(1, |count| count.get().min(MAX_THREADS))
}

/// Does something for each item, on so many threads at most; on this one, if one is enough. Returns the error of the first item
/// that failed; those after it may have been left out.
pub(super) fn for_each<T: Sync, E: Send>(
    threads: usize,
    items: &[T],
    act: impl Fn(&T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let threads = threads.min(items.len());
    if threads <= 1 {
        return items.iter().try_for_each(act);
    }
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<(usize, E)>> = Mutex::new(None);
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(number) else {
                return;
            };
            if let Err(error) = act(item) {
                // Nobody starts another one.
                next.store(items.len(), Ordering::Relaxed);
                if let Ok(mut failed) = failed.lock()
                    && failed.as_ref().is_none_or(|(first, _)| number < *first)
                {
                    *failed = Some((number, error));
                }
                return;
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    match failed.into_inner() {
        Ok(Some((_, error))) => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_or_the_first_error() {
        let items: Vec<usize> = (0..100).collect();
        for threads in [0, 1, 3, 200] {
            let done = AtomicUsize::new(0);
            let result: Result<(), usize> = for_each(threads, &items, |_| {
                done.fetch_add(1, Ordering::Relaxed);
                Ok(())
            });
            assert_eq!((result, done.into_inner()), (Ok(()), 100), "{threads}");
            let fails = |item: &usize| if *item % 7 == 6 { Err(*item) } else { Ok(()) };
            assert_eq!(for_each(threads, &items, fails), Err(6), "{threads}");
            assert_eq!(for_each(threads, &[], fails), Ok(()));
        }
    }
}
