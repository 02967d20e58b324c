//! Training with an optimiser in mean field on a quadratic ([`myopia_core::nqm::MeanField`]).
//!
//! The averages of squared gradients are coupled to the state: each step changes them by the second
//! moment h²s + c that the state has. Forward they have exact tangents. What goes backwards through
//! training (optimal and receding-horizon schedules, judges other than the plain one) knows fixed
//! preconditioners alone, and is refused.

use std::str::FromStr;

use myopia_core::dual::Dual;
use myopia_core::elementary::Libm;
use myopia_core::kfac::Kfac;
use myopia_core::nqm::{
    Coupled, InMeanField, MeanField, MeanFieldStep, NextLoss, NotInMeanField, Response, Step,
    advance,
};
use myopia_core::optimizer::{Decay, Hyperparameters, Method};
use myopia_core::vector::F64x8;

use crate::error::{MeanFieldError, ParseError};
use crate::native::Native;
use crate::policy::Policy;
use crate::quadratic::{Quadratic, State};
use crate::run::Settings;
use crate::spectrum::numbers;

/// An optimiser in words, without K-FAC's damping: sgd, or one in mean field.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Named {
    /// SGD.
    #[default]
    Sgd,
    /// RMSprop with ρ and ε.
    Rmsprop(f64, f64),
    /// Adam with β₁, β₂ and ε.
    Adam(f64, f64, f64),
    /// K-FAC of the batch's own labels, which keeps so much of the measured curvature.
    Kfac(f64),
    /// K-FAC of sampled labels, likewise.
    KfacSampled(f64),
}

pub(crate) const FORMS: &str = "an optimiser is sgd, rmsprop:RHO,EPSILON, adam:BETA1,BETA2,EPSILON, \
                     kfac:DECAY or kfac-sampled:DECAY";

impl FromStr for Named {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let values =
            if rest.is_empty() { Vec::new() } else { numbers(rest).map_err(ParseError)? };
        let found = match (name, values.as_slice()) {
            ("sgd", []) => Self::Sgd,
            ("rmsprop", &[rho, epsilon]) => Self::Rmsprop(rho, epsilon),
            ("adam", &[beta1, beta2, epsilon]) => Self::Adam(beta1, beta2, epsilon),
            ("kfac", &[kept]) => Self::Kfac(kept),
            ("kfac-sampled", &[kept]) => Self::KfacSampled(kept),
            _ => return Err(ParseError(FORMS.into())),
        };
        let share = |x: f64| (0.0..1.0).contains(&x);
        let is_in_range = match found {
            Self::Sgd => true,
            Self::Rmsprop(rho, epsilon) => share(rho) && epsilon >= 0.0,
            Self::Adam(beta1, beta2, epsilon) => share(beta1) && share(beta2) && epsilon >= 0.0,
            Self::Kfac(kept) | Self::KfacSampled(kept) => share(kept),
        };
        match is_in_range {
            true => Ok(found),
            false => Err(ParseError(
                "decays are numbers from 0 up to but not including 1, epsilon is from 0 on".into(),
            )),
        }
    }
}

impl Named {
    /// The optimiser, none of SGD; `damping` is that of K-FAC.
    ///
    /// # Errors
    /// None of those that can be parsed.
    pub fn optimizer(self, damping: f64) -> Result<Option<MeanField<f64>>, NotInMeanField> {
        let of = |method| MeanField::new(Hyperparameters { method, decay: Decay::None }).map(Some);
        let kfac = |kept, is_sampled| {
            let (decay, clip, labels) = (Decay::None, None, None);
            let all = Kfac { momentum: 0.0, damping, decay, kept, clip, refactor_every: 1, labels };
            MeanField::kfac(all, is_sampled).map(Some)
        };
        match self {
            Self::Sgd => Ok(None),
            Self::Rmsprop(rho, epsilon) => {
                of(Method::Rmsprop { rho, momentum: 0.0, epsilon, is_inside: false })
            }
            Self::Adam(beta1, beta2, epsilon) => {
                of(Method::Adam { beta1, beta2, epsilon, epsilon_root: 0.0 })
            }
            Self::Kfac(kept) => kfac(kept, false),
            Self::KfacSampled(kept) => kfac(kept, true),
        }
    }
}

/// The averages of every direction, and how many steps have moved them; none before the first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Averages {
    /// q and a of the last step.
    each: Vec<[F64x8; 2]>,
    steps: u32,
}

type OnBlock = InMeanField<F64x8, Libm>;
type StateOf<const P: usize> = Coupled<Dual<F64x8, P>>;

impl State {
    /// The states of an optimiser in mean field, which has no other tangents than those to come.
    fn coupled<const P: usize>(&self) -> Vec<StateOf<P>> {
        let responses = self.0.iter().map(|response: &Response<_>| response.constant());
        let mut states: Vec<_> = responses.map(Coupled::new).collect();
        for (state, average) in states.iter_mut().zip(&self.1.each) {
            [state.square, state.scale] = average.map(Dual::constant);
        }
        states
    }

    /// What `optimizer` is told of each step of `schedule` from here on, and its states here.
    pub(crate) fn continued<const P: usize>(
        &self,
        optimizer: &MeanField<Dual<f64, P>, f64>,
        schedule: &[Step<Dual<f64, P>>],
    ) -> (Vec<MeanFieldStep<Dual<f64, P>>>, Vec<StateOf<P>>) {
        let steps = (self.1.steps..).zip(schedule);
        (steps.map(|(k, step)| optimizer.step::<Libm>(k, *step)).collect(), self.coupled())
    }

    /// The same state, from which an optimiser begins with fresh averages.
    pub fn fresh(mut self) -> Self {
        self.1 = Averages::default();
        self
    }
}

impl Quadratic {
    /// The same quadratic trained by `optimizer` in mean field, in place of any preconditioner.
    pub fn in_mean_field(self, optimizer: MeanField<f64>) -> Self {
        Self { blocks: self.plain.clone(), mean_field: Some(optimizer), ..self }
    }

    /// What trains it, where that is in mean field.
    pub fn mean_field(&self) -> Option<&MeanField<f64>> {
        self.mean_field.as_ref()
    }

    pub(crate) fn in_mean_field_blocks(&self) -> Vec<OnBlock> {
        self.plain.iter().map(|block| InMeanField::new(*block)).collect()
    }

    /// [`Quadratic::advance`] by a step, and whether it is one without any momentum.
    pub(crate) fn advance_in_mean_field(
        &self,
        optimizer: MeanField<f64>,
        state: &mut State,
        step: Option<(Step<f64>, bool)>,
    ) -> NextLoss<f64> {
        let optimizer = optimizer.with_tangents::<0>([]);
        let mut states = state.coupled();
        let k = state.1.steps;
        let taken = step.map(|(step, is_at_rest)| match is_at_rest {
            true => optimizer.step_at_rest::<Libm>(k, Dual::constant(step.learning_rate)),
            false => optimizer.step::<Libm>(k, step.constant()),
        });
        let after = if taken.is_some() { k + 1 } else { k };
        let next = optimizer.step_at_rest::<Libm>(after, Dual::constant(1.0));
        let found = advance(Native, &self.in_mean_field_blocks(), &mut states, taken, next);
        state.0 = states.iter().map(|state| state.response).collect();
        let each = states.iter().map(|state| [state.square.value, state.scale.value]).collect();
        state.1 = Averages { each, steps: after };
        found
    }
}

impl Policy {
    /// Refuses what there is not for an optimiser in mean field.
    ///
    /// # Errors
    /// A search, a judge, a greedy step of Adam, a momentum that it does not use, a rate of zero.
    pub fn check(
        &self,
        optimizer: &MeanField<f64>,
        settings: Settings,
    ) -> Result<(), MeanFieldError> {
        let name = optimizer.name();
        let own = optimizer.has_own_momentum();
        if !settings.judge.is_plain() {
            return Err(MeanFieldError::Judge(name));
        }
        if own && settings.momentum != 0.0 {
            return Err(MeanFieldError::Momentum(name));
        }
        match self {
            Self::Optimal | Self::OptimalMomentum | Self::Replan(_) | Self::ReplanMomentum(_) => {
                Err(MeanFieldError::Search(name))
            }
            Self::Greedy | Self::GreedyMomentum if own => Err(MeanFieldError::Greedy(name)),
            Self::Given(schedule) if own && schedule.iter().any(|step| step.momentum != 0.0) => {
                Err(MeanFieldError::Momentum(name))
            }
            Self::Given(schedule) if own && schedule.iter().any(|s| s.learning_rate == 0.0) => {
                Err(MeanFieldError::NoRate(name))
            }
            _ => Ok(()),
        }
    }
}
