//! A schedule entry by entry: what each step of a run takes.

use myopia_core::family::Schedule;
use myopia_core::nqm::Step;

/// Learning rates and a momentum for each step of a run: one rate for all layers, or one for each
/// layer, the lowest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Entries {
    rates_of_a_step: usize,
    rates: Vec<f64>,
    momenta: Vec<f64>,
}

impl Entries {
    /// Steps with these `momenta`; `rates` has as many of each step, step after step.
    ///
    /// # Panics
    /// When it has not.
    pub fn new(rates: Vec<f64>, momenta: Vec<f64>) -> Self {
        let rates_of_a_step = if momenta.is_empty() { 1 } else { rates.len() / momenta.len() };
        assert!(
            rates_of_a_step > 0 && rates.len() == rates_of_a_step * momenta.len(),
            "as many rates of each step"
        );
        Self { rates_of_a_step, rates, momenta }
    }

    /// The first `steps` of a schedule, all with this momentum.
    pub fn of(schedule: Schedule<f64>, momentum: f64, steps: usize) -> Self {
        Self::new(schedule.rates().take(steps).collect(), vec![momentum; steps])
    }

    /// How many steps there are.
    pub fn steps(&self) -> usize {
        self.momenta.len()
    }

    /// How many rates each step has: one, or as many as there are layers.
    pub fn rates_of_a_step(&self) -> usize {
        self.rates_of_a_step
    }

    /// All rates, step after step.
    pub fn rates(&self) -> &[f64] {
        &self.rates
    }

    /// The rates of step `k`, and its momentum.
    pub fn step(&self, k: usize) -> (&[f64], f64) {
        let each = self.rates_of_a_step;
        (&self.rates[k * each..(k + 1) * each], self.momenta[k])
    }

    /// The rate of every step in layer number `layer`; where all layers have the same, that.
    pub fn of_layer(&self, layer: usize) -> impl Iterator<Item = f64> + '_ {
        self.rates.iter().skip(layer).step_by(self.rates_of_a_step).copied()
    }

    /// The momentum of every step.
    pub fn momenta(&self) -> &[f64] {
        &self.momenta
    }

    /// The same, each number as `rounded`.
    pub fn map(self, rounded: impl Fn(f64) -> f64) -> Self {
        let map = |numbers: Vec<f64>| numbers.into_iter().map(&rounded).collect();
        Self { rates: map(self.rates), momenta: map(self.momenta), ..self }
    }

    /// Stretched to `steps` steps: step k takes the entry that lies as far along these.
    pub fn stretched(&self, steps: usize) -> Self {
        let entries = (0..steps).map(|k| self.step(k * self.steps() / steps));
        let (rates, momenta): (Vec<_>, Vec<_>) = entries.unzip();
        Self { rates_of_a_step: self.rates_of_a_step, rates: rates.concat(), momenta }
    }
}

impl FromIterator<Step<f64>> for Entries {
    fn from_iter<I: IntoIterator<Item = Step<f64>>>(steps: I) -> Self {
        let pair = |Step { learning_rate, momentum }| (learning_rate, momentum);
        let (rates, momenta) = steps.into_iter().map(pair).unzip();
        Self::new(rates, momenta)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_have_a_rate_for_each_layer_or_one_for_all() {
        let both = Entries::new(vec![0.1, 0.2, 0.3, 0.4], vec![0.5, 0.6]);
        assert_eq!((both.steps(), both.rates_of_a_step()), (2, 2));
        assert_eq!(both.step(1), (&[0.3, 0.4][..], 0.6));
        assert_eq!(both.of_layer(1).collect::<Vec<_>>(), [0.2, 0.4]);
        let long = both.stretched(5);
        assert_eq!(long.of_layer(0).collect::<Vec<_>>(), [0.1, 0.1, 0.1, 0.3, 0.3]);
        assert_eq!(long.momenta(), [0.5, 0.5, 0.5, 0.6, 0.6]);
        let step = |learning_rate| Step { learning_rate, momentum: 0.9 };
        let one: Entries = [step(1.0), step(2.0)].into_iter().collect();
        assert_eq!((one.rates_of_a_step(), one.rates()), (1, &[1.0, 2.0][..]));
        assert_eq!(one.map(|x| 2.0 * x).step(1), (&[4.0][..], 1.8));
    }
}
