//! What a worker keeps: fragments, and of each the matrices that the graphics processor has.

use std::rc::Rc;

use fragments::FragmentId;

/// Which of a fragment's matrices: where its rows begin, and how many they are.
pub(crate) type Place = (usize, usize);

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of fragments.
    pub(crate) fragments: usize,
    /// Bytes of matrices in the memory of the graphics processor.
    pub(crate) matrices: usize,
}

/// Fragments, the one used last at the end; what is longest unused makes room. A matrix goes with its fragment, or before
/// it. The one thing asked for last is kept however large it is.
pub(crate) struct Memory<F, M> {
    limits: Limits,
    kept: Vec<Kept<F, M>>,
}

struct Kept<F, M> {
    id: FragmentId,
    bytes: usize,
    fragment: Rc<F>,
    matrices: Vec<(Place, usize, Rc<M>)>,
}

impl<F, M> Kept<F, M> {
    fn matrix_bytes(&self) -> usize {
        self.matrices.iter().map(|(_, bytes, _)| bytes).sum()
    }
}

impl<F, M> Memory<F, M> {
    pub(crate) fn new(limits: Limits) -> Self {
        let kept = Vec::new();
        Self { limits, kept }
    }

    /// A fragment that is kept.
    pub(crate) fn fragment(&mut self, id: &FragmentId) -> Option<Rc<F>> {
        let at = self.kept.iter().position(|kept| kept.id == *id)?;
        self.kept[at..].rotate_left(1);
        self.kept.last().map(|kept| kept.fragment.clone())
    }

    /// Keeps a fragment of so many bytes.
    pub(crate) fn keep(&mut self, id: FragmentId, bytes: usize, fragment: F) -> Rc<F> {
        self.release(&id);
        let fragment = Rc::new(fragment);
        self.kept.push(Kept {
            id,
            bytes,
            fragment: fragment.clone(),
            matrices: Vec::new(),
        });
        let mut bytes: usize = self.kept.iter().map(|kept| kept.bytes).sum();
        while bytes > self.limits.fragments && self.kept.len() > 1 {
            bytes -= self.kept.remove(0).bytes;
        }
        fragment
    }

    /// A matrix of a fragment that is kept.
    pub(crate) fn matrix(&self, id: &FragmentId, place: Place) -> Option<Rc<M>> {
        let kept = self.kept.iter().find(|kept| kept.id == *id)?;
        let found = kept.matrices.iter().find(|(known, ..)| *known == place);
        found.map(|(.., matrix)| matrix.clone())
    }

    /// Keeps a matrix of so many bytes, unless its fragment was released meanwhile.
    pub(crate) fn keep_matrix(
        &mut self,
        id: &FragmentId,
        place: Place,
        bytes: usize,
        matrix: Rc<M>,
    ) {
        let Some(at) = self.kept.iter().position(|kept| kept.id == *id) else {
            return;
        };
        let mut all: usize = self.kept.iter().map(Kept::matrix_bytes).sum();
        for (index, kept) in self.kept.iter_mut().enumerate() {
            if index == at {
                continue;
            }
            if all + bytes <= self.limits.matrices {
                break;
            }
            all -= kept.matrix_bytes();
            kept.matrices.clear();
        }
        let own = &mut self.kept[at].matrices;
        while all + bytes > self.limits.matrices && !own.is_empty() {
            all -= own.remove(0).1;
        }
        own.push((place, bytes, matrix));
    }

    /// Gives back the memory of the graphics processor.
    pub(crate) fn forget_matrices(&mut self) {
        for kept in &mut self.kept {
            kept.matrices.clear();
        }
    }

    /// Gives back a fragment's memory.
    pub(crate) fn release(&mut self, id: &FragmentId) {
        self.kept.retain(|kept| kept.id != *id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        fragments: 10,
        matrices: 6,
    };

    fn id(number: u8) -> FragmentId {
        FragmentId([number; 32])
    }

    fn memory(fragments: &[u8]) -> Memory<u8, char> {
        let mut memory = Memory::new(LIMITS);
        for &number in fragments {
            memory.keep(id(number), 4, number);
        }
        memory
    }

    #[test]
    fn the_fragment_longest_unused_makes_room() {
        let mut memory = memory(&[1, 2]);
        assert!(memory.fragment(&id(1)).is_some());
        memory.keep(id(3), 4, 3);
        let here = [1, 2, 3].map(|number| memory.fragment(&id(number)).is_some());
        assert_eq!(here, [true, false, true]);
    }

    #[test]
    fn one_fragment_is_kept_however_large() {
        let mut memory = memory(&[1]);
        memory.keep(id(9), 100, 9);
        assert!(memory.fragment(&id(1)).is_none());
        assert_eq!(memory.fragment(&id(9)).as_deref(), Some(&9));
    }

    #[test]
    fn a_matrix_goes_with_its_fragment() {
        let mut memory = memory(&[1]);
        memory.keep_matrix(&id(1), (0, 1), 2, 'a'.into());
        assert_eq!(memory.matrix(&id(1), (0, 1)).as_deref(), Some(&'a'));
        assert!(memory.matrix(&id(1), (0, 2)).is_none());
        memory.release(&id(1));
        assert!(memory.matrix(&id(1), (0, 1)).is_none());
        // It was on its way when its fragment was released.
        memory.keep_matrix(&id(1), (0, 1), 2, 'a'.into());
        assert!(memory.matrix(&id(1), (0, 1)).is_none());
    }

    #[test]
    fn matrices_of_the_fragment_longest_unused_make_room_before_its_own() {
        let mut memory = memory(&[1, 2]);
        memory.keep_matrix(&id(1), (0, 1), 3, 'a'.into());
        memory.keep_matrix(&id(2), (0, 1), 3, 'b'.into());
        memory.keep_matrix(&id(2), (1, 1), 3, 'c'.into());
        let here = |memory: &Memory<u8, char>, number, start| {
            memory.matrix(&id(number), (start, 1)).is_some()
        };
        assert_eq!(
            [
                here(&memory, 1, 0),
                here(&memory, 2, 0),
                here(&memory, 2, 1)
            ],
            [false, true, true]
        );
        // The fragments themselves stay.
        assert!(memory.fragment(&id(1)).is_some());
        memory.keep_matrix(&id(2), (2, 1), 6, 'd'.into());
        assert_eq!(
            [
                here(&memory, 2, 0),
                here(&memory, 2, 1),
                here(&memory, 2, 2)
            ],
            [false, false, true]
        );
        memory.forget_matrices();
        assert!(!here(&memory, 2, 2));
    }
}
