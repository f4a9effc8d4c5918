//! The nodes of the tree, and moving between neighbours.

use super::link::Link;

/// Links in a leaf: a node is then one kilobyte, a size class of its own.
pub(super) const LEAF: usize = 83;
/// Children of an inner node.
pub(super) const INNER: usize = 40;

/// A node. All leaves have the same depth.
pub(super) enum Node {
    Leaf(Leaf),
    Inner(Inner),
}

/// Links in their order.
pub(super) struct Leaf {
    len: u32,
    links: [Link; LEAF],
}

/// Children in their order; of each its first link, and how many there are below it.
pub(super) struct Inner {
    len: u32,
    counts: [u32; INNER],
    firsts: [Link; INNER],
    children: [Option<Box<Node>>; INNER],
}

/// Bytes of a node.
pub(super) const NODE: usize = 1024;
const _: () = assert!(size_of::<Node>() <= NODE);

/// Shifts `array[at..len]` by one and puts a value into the gap.
fn insert<T>(array: &mut [T], len: usize, at: usize, value: T) {
    array[len] = value;
    array[at..=len].rotate_right(1);
}

/// Moves the last `count` of `left` to the front of `right`.
fn move_right<T>(left: &mut [T], left_len: usize, right: &mut [T], right_len: usize, count: usize) {
    right[..right_len + count].rotate_right(count);
    left[left_len - count..left_len].swap_with_slice(&mut right[..count]);
}

/// Moves the first `count` of `right` to the end of `left`.
fn move_left<T>(left: &mut [T], left_len: usize, right: &mut [T], right_len: usize, count: usize) {
    left[left_len..left_len + count].swap_with_slice(&mut right[..count]);
    right[..right_len].rotate_left(count);
}

impl Leaf {
    pub(super) fn new() -> Leaf {
        Leaf { len: 0, links: [Link::NONE; LEAF] }
    }

    #[inline]
    pub(super) fn links(&self) -> &[Link] {
        &self.links[..self.len as usize]
    }

    pub(super) fn insert(&mut self, at: usize, link: Link) {
        let len = self.len as usize;
        self.links.copy_within(at..len, at + 1);
        self.links[at] = link;
        self.len += 1;
    }

    pub(super) fn remove(&mut self, at: usize) {
        self.remove_run(at, 1);
    }

    pub(super) fn remove_run(&mut self, at: usize, count: usize) {
        let len = self.len as usize;
        self.links.copy_within(at + count..len, at);
        self.len -= count as u32;
    }

    pub(super) fn replace(&mut self, at: usize, link: Link) {
        self.links[at] = link;
    }
}

impl Inner {
    /// A node above one child.
    pub(super) fn above(child: Box<Node>) -> Inner {
        let mut inner = Inner {
            len: 0,
            counts: [0; INNER],
            firsts: [Link::NONE; INNER],
            children: [const { None }; INNER],
        };
        inner.insert(0, child);
        inner
    }

    fn empty() -> Inner {
        Inner {
            len: 0,
            counts: [0; INNER],
            firsts: [Link::NONE; INNER],
            children: [const { None }; INNER],
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// How many links there are below each child.
    #[inline]
    pub(super) fn counts(&self) -> &[u32] {
        &self.counts[..self.len as usize]
    }

    /// The first link of each child.
    #[inline]
    pub(super) fn firsts(&self) -> &[Link] {
        &self.firsts[..self.len as usize]
    }

    #[inline]
    pub(super) fn child(&self, at: usize) -> &Node {
        self.children[at].as_ref().expect("a child below len")
    }

    #[inline]
    pub(super) fn child_mut(&mut self, at: usize) -> &mut Node {
        self.children[at].as_mut().expect("a child below len")
    }

    /// One link more, or (negative) less, is below a child.
    #[inline]
    pub(super) fn count(&mut self, at: usize, change: i32) {
        self.counts[at] = self.counts[at].wrapping_add_signed(change);
    }

    pub(super) fn set_first(&mut self, at: usize, link: Link) {
        self.firsts[at] = link;
    }

    pub(super) fn into_only_child(mut self) -> Box<Node> {
        debug_assert_eq!(self.len, 1);
        self.children[0].take().expect("a child below len")
    }

    fn insert(&mut self, at: usize, child: Box<Node>) {
        let len = self.len();
        insert(&mut self.counts, len, at, child.total());
        insert(&mut self.firsts, len, at, child.first());
        insert(&mut self.children, len, at, Some(child));
        self.len += 1;
    }

    /// Forgets the last of some children, which are empty.
    fn remove(&mut self, at: usize) {
        let len = self.len();
        self.counts[at..len].rotate_left(1);
        self.firsts[at..len].rotate_left(1);
        self.children[at..len].rotate_left(1);
        self.children[len - 1] = None;
        self.len -= 1;
    }

    /// Both of two neighbours.
    fn pair(&mut self, left: usize) -> (&mut Node, &mut Node) {
        let [left, right] = &mut self.children[left..=left + 1] else {
            unreachable!("two of them")
        };
        (left.as_mut().expect("a child below len"), right.as_mut().expect("a child below len"))
    }

    fn refresh(&mut self, at: usize) {
        (self.counts[at], self.firsts[at]) = {
            let child = self.child(at);
            (child.total(), child.first())
        };
    }

    /// Moves so many from the child at `left + 1` to the one at `left`; if negative, the other way.
    fn shift(&mut self, left: usize, count: isize) {
        let (a, b) = self.pair(left);
        Node::shift(a, b, count);
        self.refresh(left);
        self.refresh(left + 1);
    }

    /// Makes room in a child that is full; in this node there is some. `at_end`: what comes next
    /// goes behind everything. Gives whether a node was added.
    pub(super) fn make_room(&mut self, at: usize, at_end: bool) -> bool {
        let capacity = self.child(at).capacity();
        // To a neighbour only if it has room for some time to come.
        let spare = |inner: &Inner, other: usize| {
            (other < inner.len())
                .then(|| capacity - inner.child(other).len())
                .filter(|&spare| spare > capacity / 8)
        };
        if let Some(spare) = at.checked_sub(1).and_then(|left| spare(self, left)) {
            self.shift(at - 1, spare.div_ceil(2) as isize);
            return false;
        }
        if let Some(spare) = spare(self, at + 1) {
            self.shift(at, -(spare.div_ceil(2) as isize));
            return false;
        }
        let moved = if at_end { 1 } else { capacity / 2 };
        let new = self.child_mut(at).split_off(moved);
        self.insert(at + 1, Box::new(new));
        self.refresh(at);
        true
    }

    /// Joins a child that has become small with a neighbour, or takes some from there. Gives
    /// whether a node is gone.
    pub(super) fn fill(&mut self, at: usize) -> bool {
        if self.len < 2 {
            return false;
        }
        let left = at.min(self.len() - 2);
        let (a, b) = self.pair(left);
        let (capacity, of_a, of_b) = (a.capacity(), a.len(), b.len());
        if of_a + of_b <= capacity - capacity / 8 {
            Node::shift(a, b, of_b as isize);
            self.remove(left + 1);
            self.refresh(left);
            return true;
        }
        self.shift(left, (of_b as isize - of_a as isize) / 2);
        false
    }
}

impl Node {
    #[inline]
    pub(super) fn len(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.len as usize,
            Node::Inner(inner) => inner.len(),
        }
    }

    #[inline]
    pub(super) fn capacity(&self) -> usize {
        match self {
            Node::Leaf(_) => LEAF,
            Node::Inner(_) => INNER,
        }
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.len() == self.capacity()
    }

    /// Whether it is to be joined with others before anything is taken out.
    #[inline]
    pub(super) fn is_small(&self) -> bool {
        self.len() <= self.capacity() / 3
    }

    /// The number of links below.
    pub(super) fn total(&self) -> u32 {
        match self {
            Node::Leaf(leaf) => leaf.len,
            Node::Inner(inner) => inner.counts().iter().sum(),
        }
    }

    /// The first link below.
    fn first(&self) -> Link {
        match self {
            Node::Leaf(leaf) => leaf.links[0],
            Node::Inner(inner) => inner.firsts[0],
        }
    }

    /// Moves so many from the front of `b` to the end of `a`; if negative, the other way.
    fn shift(a: &mut Node, b: &mut Node, count: isize) {
        let n = count.unsigned_abs();
        let (of_a, of_b) = (a.len(), b.len());
        match (a, b) {
            (Node::Leaf(a), Node::Leaf(b)) => {
                if count > 0 {
                    move_left(&mut a.links, of_a, &mut b.links, of_b, n);
                } else {
                    move_right(&mut a.links, of_a, &mut b.links, of_b, n);
                }
                a.len = (a.len as isize + count) as u32;
                b.len = (b.len as isize - count) as u32;
            }
            (Node::Inner(a), Node::Inner(b)) => {
                if count > 0 {
                    move_left(&mut a.counts, of_a, &mut b.counts, of_b, n);
                    move_left(&mut a.firsts, of_a, &mut b.firsts, of_b, n);
                    move_left(&mut a.children, of_a, &mut b.children, of_b, n);
                } else {
                    move_right(&mut a.counts, of_a, &mut b.counts, of_b, n);
                    move_right(&mut a.firsts, of_a, &mut b.firsts, of_b, n);
                    move_right(&mut a.children, of_a, &mut b.children, of_b, n);
                }
                a.len = (a.len as isize + count) as u32;
                b.len = (b.len as isize - count) as u32;
            }
            _ => unreachable!("neighbours have the same depth"),
        }
    }

    /// Takes the last `count` out, as a node of their own.
    fn split_off(&mut self, count: usize) -> Node {
        let mut new = match self {
            Node::Leaf(_) => Node::Leaf(Leaf::new()),
            Node::Inner(_) => Node::Inner(Inner::empty()),
        };
        Node::shift(self, &mut new, -(count as isize));
        new
    }
}
