//! Which units are active in which examples: a bit each.

/// The bits of a word: what the processor counts zeros in at once. How bits are grouped enters no sum.
pub const BITS: usize = usize::BITS as usize;

/// How many words a row of `bits` takes.
pub const fn words(bits: usize) -> usize {
    bits.div_ceil(BITS)
}

/// Rows of bits, each of which begins a word.
#[derive(Debug, Default)]
pub struct Mask<'a> {
    words: &'a mut [usize],
    /// Words of a row.
    width: usize,
}

impl<'a> Mask<'a> {
    /// Rows of `bits` over as many words as they take.
    pub fn new(words: &'a mut [usize], bits: usize) -> Self {
        Self { words, width: self::words(bits) }
    }

    /// How many bits of the first `rows` rows are set.
    pub fn count(&self, rows: usize) -> u64 {
        let words = self.words.iter().take(rows * self.width);
        words.fold(0, |sum, word| sum + u64::from(word.count_ones()))
    }

    /// How many words a row has.
    #[inline(always)]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Word `n` of row `r`; zero when there is none.
    #[inline(always)]
    pub fn word(&self, r: usize, n: usize) -> usize {
        self.words.get(r * self.width + n).copied().unwrap_or(0)
    }

    /// Sets the first `bits` bits of every row.
    pub fn fill(&mut self, bits: usize) {
        for row in self.words.chunks_exact_mut(self.width.max(1)) {
            for (n, word) in row.iter_mut().enumerate() {
                let here = bits.saturating_sub(n * BITS);
                *word = if here < BITS { (1 << here) - 1 } else { usize::MAX };
            }
        }
    }

    /// Makes the rows of `tile` word `n` of row `start` and of those after it, as far as there are rows.
    #[inline(always)]
    pub fn put(&mut self, start: usize, n: usize, tile: &Tile) {
        let rows = self.words.chunks_exact_mut(self.width.max(1)).skip(start);
        for (row, found) in rows.zip(tile.rows) {
            if let Some(word) = row.get_mut(n) {
                *word = found;
            }
        }
    }
}

/// As many words as a word has bits.
#[derive(Clone)]
pub struct Tile {
    pub rows: [usize; BITS],
}

impl Default for Tile {
    fn default() -> Self {
        Self { rows: [0; BITS] }
    }
}

impl Tile {
    /// Makes bit j of row i bit i of row j: the two off-diagonal quarters change places, then those of each quarter, …
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

/// The positions of the bits that are set in a row's word number `n`, in ascending order.
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
        let mut mask = Mask::new(&mut storage, 2 * BITS + 2);
        for (n, bits) in set {
            let mut tile = Tile::default();
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
        let mut tile = Tile::default();
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
            let mut mask = Mask::new(&mut storage, 130);
            mask.fill(bits);
            assert!(positions(&mask, 1).eq(0..bits), "{bits}");
        }
    }
}
