//! Bit masks: which units are active in which examples.

/// Bits of a word. How bits are grouped enters no sum.
pub const BITS: usize = usize::BITS as usize;

/// Words of a row of `bits` bits.
pub const fn words(bits: usize) -> usize {
    bits.div_ceil(BITS)
}

/// Bit matrix whose rows begin at a word: word 0 of every row, then word 1 of every row, …
#[derive(Debug, Default)]
pub struct Mask<'a> {
    words: &'a mut [usize],
    rows: usize,
}

impl<'a> Mask<'a> {
    /// `rows` rows of `words.len() / rows` words.
    pub fn new(words: &'a mut [usize], rows: usize) -> Self {
        Self { words, rows }
    }

    /// The same mask, borrowed for a shorter time.
    pub fn reborrow(&mut self) -> Mask<'_> {
        Mask { words: self.words, rows: self.rows }
    }

    /// The first `words` words of each row, and the others.
    pub fn split(self, words: usize) -> (Self, Self) {
        let Self { words: all, rows } = self;
        let (first, second) = all.split_at_mut_checked(words * rows).unwrap_or_default();
        (Self { words: first, rows }, Self { words: second, rows })
    }

    /// Number of bits set in the first `rows` rows.
    pub fn count(&self, rows: usize) -> u64 {
        let columns = self.words.chunks_exact(self.rows.max(1));
        columns
            .flat_map(|c| c.iter().take(rows))
            .fold(0, |n, word| n + u64::from(word.count_ones()))
    }

    /// Words of a row.
    #[inline(always)]
    pub fn width(&self) -> usize {
        self.words.len() / self.rows.max(1)
    }

    /// Word `n` of row `r`; zero if there is none.
    #[inline(always)]
    pub fn word(&self, r: usize, n: usize) -> usize {
        self.words.get(n * self.rows + r).copied().unwrap_or(0)
    }

    /// Sets the first `bits` bits of every row.
    pub fn fill(&mut self, bits: usize) {
        for (n, column) in self.words.chunks_exact_mut(self.rows.max(1)).enumerate() {
            let here = bits.saturating_sub(n * BITS);
            column.fill(if here < BITS { (1 << here) - 1 } else { usize::MAX });
        }
    }

    /// Stores the rows of `tile` as word `n` of row `start` and of the rows after it, as far as
    /// there are rows.
    #[inline(always)]
    pub fn put(&mut self, start: usize, n: usize, tile: &BitTile) {
        let column = self.words.get_mut(n * self.rows..(n + 1) * self.rows).unwrap_or_default();
        let column = column.get_mut(start..).unwrap_or_default();
        for (word, found) in column.iter_mut().zip(tile.rows) {
            *word = found;
        }
    }
}

/// Square bit matrix: as many words as a word has bits.
#[derive(Clone)]
pub struct BitTile {
    pub rows: [usize; BITS],
}

impl Default for BitTile {
    fn default() -> Self {
        Self { rows: [0; BITS] }
    }
}

impl BitTile {
    /// Transposes in place: the two off-diagonal quarters change places, then those of each
    /// quarter, …
    #[inline(always)]
    pub fn transpose(&mut self) {
        let mut half = BITS / 2;
        let mut low = usize::MAX >> half;
        while half > 0 {
            for pair in self.rows.chunks_exact_mut((2 * half).max(1)) {
                let (upper, lower) = pair.split_at_mut_checked(half).unwrap_or_default();
                for (a, b) in upper.iter_mut().zip(lower) {
                    let differing = (*a >> half ^ *b) & low;
                    *a ^= differing << half;
                    *b ^= differing;
                }
            }
            half /= 2;
            low ^= low << half;
        }
    }
}

/// Positions of the bits set in word `n` of a row, ascending.
#[inline(always)]
pub fn ones(n: usize, mut word: usize) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        if word == 0 {
            return None;
        }
        let bit = word.trailing_zeros() as usize;
        word &= word - 1;
        Some(n * BITS + bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(mask: &Mask, r: usize) -> impl Iterator<Item = usize> {
        (0..mask.width()).flat_map(move |n| ones(n, mask.word(r, n)))
    }

    #[test]
    fn what_is_put_into_a_row_is_listed_in_order() {
        let set = [(0, [0, 31]), (1, [0, BITS - 1]), (2, [1, 1])];
        let mut storage = [0; 3 * words(2 * BITS + 2)];
        let mut mask = Mask::new(&mut storage, 3);
        for (n, bits) in set {
            let mut tile = BitTile::default();
            for bit in bits {
                tile.rows[bit] = 1 << 1;
            }
            tile.transpose();
            mask.put(0, n, &tile);
        }
        let expected = set.iter().flat_map(|(n, [a, b])| [n * BITS + a, n * BITS + b]).take(5);
        assert!(positions(&mask, 1).eq(expected));
        assert_eq!((mask.count(1), mask.count(2), mask.count(3)), (0, 5, 5));
        assert_eq!(mask.word(3, 0), 0);
    }

    #[test]
    fn transposing_a_tile_exchanges_rows_and_columns() {
        let mut rng = crate::rng::Pcg32::new(1, 0);
        let mut tile = BitTile::default();
        for row in &mut tile.rows {
            *row = (u64::from(rng.next_u32()) << 32 | u64::from(rng.next_u32())) as usize;
        }
        let before = tile.clone();
        tile.transpose();
        for (i, row) in before.rows.iter().enumerate() {
            for (j, column) in tile.rows.iter().enumerate() {
                assert_eq!(row >> j & 1, column >> i & 1, "{i} {j}");
            }
        }
    }

    #[test]
    fn a_filled_row_ends_where_it_is_told() {
        for bits in [0, 1, BITS - 1, BITS, BITS + 1, 130] {
            let mut storage = [7; 2 * words(130)];
            let mut mask = Mask::new(&mut storage, 2);
            mask.fill(bits);
            assert!(positions(&mask, 1).eq(0..bits), "{bits}");
        }
    }
}
