//! Which points of a run are saved so that all its steps can be taken back: binomial checkpoints
//! (Griewank & Walther 2000, algorithm 799).
//!
//! With s points in memory, the first at the start, and no step taken more than r + 1 times, the
//! longest run that can be taken back has C(s + r, s) steps; the points are placed so that the
//! fewest steps are taken.

use std::collections::VecDeque;
use std::ops::Range;

/// What is done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Take these steps forward.
    Advance(Range<u32>),
    /// Save where the run stands as this point, to which it will be restored or not.
    Save(usize, bool),
    /// Go back to this point.
    Restore(usize),
    /// Take this step back, from a saved point before it or from where the run stands.
    Back(u32, Option<usize>),
}

/// The actions that take all steps back, the last first.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    /// The steps before which points are saved, ascending.
    saved: Vec<u32>,
    /// The step before which the run stands.
    at: u32,
    /// Steps that are not yet taken back.
    left: u32,
    points: usize,
    next: VecDeque<Action>,
}

impl Checkpoints {
    /// For a run of `steps` steps, of which the run stands before the first, with room for `points`
    /// points, at least one.
    pub fn new(steps: u32, points: usize) -> Self {
        assert!(points > 0, "the start of the run is a point");
        let mut all = Self { saved: vec![0], at: 0, left: steps, points, next: VecDeque::new() };
        if steps > 1 {
            all.next.push_back(Action::Save(0, all.restores(0)));
        }
        all
    }

    /// True if the run is restored to the last point, which was saved before step `top`: where the
    /// next point, or the last step, is not the step after it.
    fn restores(&self, top: u32) -> bool {
        let last = self.left - 1;
        self.next_point(top).unwrap_or(last).saturating_sub(top) > 1
    }

    /// Before which step the next point is saved, the last one being at `top`.
    fn next_point(&self, top: u32) -> Option<u32> {
        let free = self.points - self.saved.len();
        let divides = free > 0 && self.left - 1 - top > 1;
        divides.then(|| top + split(self.left - top, free as u64 + 1))
    }
}

/// Steps that [`Checkpoints`] takes forward in all: r·l − C(s + r, r − 1) for a run of l steps and
/// s points, no step being taken more than r times.
pub fn steps_forward(steps: u32, points: usize) -> u64 {
    let (steps, points) = (u64::from(steps), points as u64);
    if points == 1 {
        return steps * steps.saturating_sub(1) / 2;
    }
    match steps {
        0 | 1 => 0,
        _ => {
            let repeats = repeats(steps, points);
            repeats * steps - choose(points + repeats, repeats - 1)
        }
    }
}

/// The least r with C(s + r, s) at least `steps`, for s points, at least two.
fn repeats(steps: u64, points: u64) -> u64 {
    let mut repeats = 1;
    while choose(points + repeats, points) < steps {
        repeats += 1;
    }
    repeats
}

impl Iterator for Checkpoints {
    type Item = Action;

    fn next(&mut self) -> Option<Action> {
        if let Some(action) = self.next.pop_front() {
            return Some(action);
        }
        let last = self.left.checked_sub(1)?;
        let point = self.saved.len() - 1;
        let top = self.saved[point];
        if self.at == last {
            self.left = last;
            if top == last && last > 0 {
                self.saved.pop();
            }
            return Some(Action::Back(last, None));
        }
        if top == last {
            self.left = last;
            if last > 0 {
                self.saved.pop();
            }
            return Some(Action::Back(last, Some(point)));
        }
        if !(top..last).contains(&self.at) {
            self.at = top;
            return Some(Action::Restore(point));
        }
        if let Some(middle) = self.next_point(top) {
            self.saved.push(middle);
            self.next.push_back(Action::Save(point + 1, self.restores(middle)));
            self.at = middle;
            return Some(Action::Advance(top..middle));
        }
        self.at = last;
        Some(Action::Advance(top..last))
    }
}

/// After how many of `steps` steps the next of `points` points is saved, the first being at the
/// start.
fn split(steps: u32, points: u64) -> u32 {
    let steps = u64::from(steps);
    let repeats = repeats(steps, points);
    // As short as the points that are left allow for the steps after it.
    let after = choose(points + repeats - 1, points - 1);
    let before = match repeats {
        1 => 1,
        _ => choose(points + repeats - 2, points),
    };
    let middle = if steps.saturating_sub(after) > before { steps - after } else { before };
    middle as u32
}

/// The binomial coefficient C(n, k), at most 2⁶⁴ − 1.
fn choose(n: u64, k: u64) -> u64 {
    let k = if n - k < k { n - k } else { k };
    let mut product: u128 = 1;
    for i in 1..=k {
        product = product * u128::from(n - k + i) / u128::from(i);
        if product > u64::MAX.into() {
            return u64::MAX;
        }
    }
    product as u64
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Carries the actions out on a run whose state is the number of its steps.
    fn carried_out(steps: u32, points: usize) -> u64 {
        let (mut at, mut advanced, mut left) = (0, 0, steps);
        let mut saved = vec![None; points];
        let mut restored = vec![false; points];
        for action in Checkpoints::new(steps, points) {
            match action {
                Action::Advance(range) => {
                    assert_eq!(range.start, at);
                    advanced += u64::from(range.end - range.start);
                    at = range.end;
                }
                Action::Save(point, restores) => {
                    saved[point] = Some(at);
                    restored[point] = restores;
                }
                Action::Restore(point) => {
                    at = saved[point].unwrap();
                    assert!(restored[point], "{steps} steps, {points} points: {point}");
                }
                Action::Back(step, point) => {
                    left -= 1;
                    assert_eq!(step, left, "steps are taken back in order");
                    assert_eq!(point.map_or(at, |point| saved[point].unwrap()), step);
                }
            }
        }
        assert_eq!(left, 0);
        assert_eq!(steps_forward(steps, points), advanced, "{steps} steps, {points} points");
        advanced
    }

    /// The fewest steps by trying every place for the next point.
    fn fewest(steps: u32, points: usize, known: &mut HashMap<(u32, usize), u64>) -> u64 {
        if steps < 2 {
            return 0;
        }
        if let Some(found) = known.get(&(steps, points)) {
            return *found;
        }
        let alone = u64::from(steps) * u64::from(steps - 1) / 2;
        let mut best = alone;
        if points > 1 {
            for middle in 1..steps {
                let after = fewest(steps - middle, points - 1, known);
                let all = u64::from(middle) + after + fewest(middle, points, known);
                best = best.min(all);
            }
        }
        known.insert((steps, points), best);
        best
    }

    #[test]
    fn no_placing_of_points_takes_fewer_steps() {
        let mut known = HashMap::new();
        for points in 1..9 {
            for steps in 1..60 {
                let found = carried_out(steps, points);
                let expected = fewest(steps, points, &mut known);
                assert_eq!(found, expected, "{steps} steps, {points} points");
            }
        }
    }

    #[test]
    fn with_a_point_for_each_step_none_is_taken_twice() {
        for steps in [1, 2, 100, 2000] {
            assert_eq!(carried_out(steps + 1, steps as usize), u64::from(steps));
        }
        // The paper's 20,000 steps in as many points as 1 GiB and as √T hold.
        assert_eq!(carried_out(20_001, 1400), 38_600);
        assert_eq!(carried_out(20_001, 141), 49_707);
    }
}
