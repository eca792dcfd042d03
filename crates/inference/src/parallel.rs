//! Work on many things, shared out among the threads of the current rayon pool with the feature `threads`.

/// What comes of each of some things, in their order.
#[cfg(not(feature = "threads"))]
pub(crate) fn map<T, R>(things: &[T], work: impl Fn(&T) -> R) -> Vec<R> {
    things.iter().map(work).collect()
}

/// What comes of each of some things, in their order.
#[cfg(feature = "threads")]
pub(crate) fn map<T: Sync, R: Send>(things: &[T], work: impl Fn(&T) -> R + Sync + Send) -> Vec<R> {
    use rayon::prelude::*;

    things.par_iter().map(work).collect()
}

/// Does something with each of some things; a thread has room to work in, of which this is the first.
#[cfg(not(feature = "threads"))]
pub(crate) fn for_each<T, R>(things: &mut [T], room: &mut R, work: impl Fn(&mut T, &mut R)) {
    things.iter_mut().for_each(|thing| work(thing, room));
}

/// Does something with each of some things; a thread has room to work in, of which this is the first.
#[cfg(feature = "threads")]
pub(crate) fn for_each<T: Send, R: Default>(
    things: &mut [T],
    room: &mut R,
    work: impl Fn(&mut T, &mut R) + Sync,
) {
    use rayon::prelude::*;

    /// Fewer are done before another thread has woken up.
    const SEVERAL: usize = 8;

    if things.len() < SEVERAL {
        things.iter_mut().for_each(|thing| work(thing, room));
    } else {
        things
            .par_iter_mut()
            .for_each_init(R::default, |room, thing| work(thing, room));
    }
}
