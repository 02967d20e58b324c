//! `Record` of a step and `Report` of an experiment (float bits, 64-bit digests); `Failed`.

use crate::backend::{Backend, Scalar};
use crate::digest::{Digest, NotANumber};
use crate::dual::Dual;
use crate::elementary::Elementary;
use crate::mlp::Network;
use crate::real::Real;
use crate::schedule::InverseTime;

/// One meta-step; in an experiment without meta-steps, one step of training. Floats are given by
/// their bits, zero-extended to 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// How many steps of its kind came before.
    pub step: u32,
    /// The bits of α₀, K and β.
    pub schedule: [u64; 3],
    /// The bits of the loss.
    pub loss: u64,
    /// The digest of all values so far.
    pub digest: u64,
}

/// What an experiment ends in. Floats are given by their bits, zero-extended to 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The digest of all values: states and losses, of every record.
    pub values: u64,
    /// The digest of all tangents of the same; of nothing where there are none.
    pub tangents: u64,
    /// The bits of the last loss.
    pub loss: u64,
    /// The bits of its derivatives with respect to α₀, K and β, to α₀, ε and β₂ of Adam, or to a
    /// bilevel problem's hyperparameters; zero where there are none.
    pub derivatives: [u64; 3],
}

impl Report {
    /// The digest of the whole report.
    pub fn digest(&self) -> u64 {
        let mut digest = Digest::default();
        let [d_alpha0, d_time_constant, d_beta] = self.derivatives;
        for word in [self.values, self.tangents, self.loss, d_alpha0, d_time_constant, d_beta] {
            add_word(&mut digest, word);
        }
        digest.value()
    }
}

/// Why an experiment has no report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The workspace has no room for it.
    Workspace,
    /// A number left the finite range.
    NonFinite,
}

impl Failed {
    /// The sentence that says so.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Workspace => "the workspace has no room for this experiment",
            Self::NonFinite => "a number of this experiment left the finite range",
        }
    }
}

impl core::fmt::Display for Failed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.message())
    }
}

impl core::error::Error for Failed {}

impl From<NotANumber> for Failed {
    fn from(_: NotANumber) -> Self {
        Self::NonFinite
    }
}

fn add_word(digest: &mut Digest, word: u64) {
    for byte in word.to_le_bytes() {
        digest.byte(byte);
    }
}

/// The digests of a run as they grow.
#[derive(Default)]
pub(super) struct Ledger {
    values: Digest,
    tangents: Digest,
}

impl Ledger {
    pub fn value<T: Real>(&mut self, x: T) -> Result<(), Failed> {
        Ok(self.values.add(x)?)
    }

    pub fn tangents<T: Real, const P: usize>(&mut self, x: Dual<T, P>) -> Result<(), Failed> {
        for tangent in x.tangents {
            self.tangents.add(tangent)?;
        }
        Ok(())
    }

    pub fn network<G, E, const P: usize, const S: usize, const N: bool>(
        &mut self,
        network: &Network<'_, G, P, E, S, N>,
    ) -> Result<(), Failed>
    where
        G: Backend,
        E: Elementary<Scalar<G>>,
    {
        add_word(&mut self.values, network.digest_values()?.value());
        add_word(&mut self.tangents, network.digest_tangents()?.value());
        Ok(())
    }

    /// The record of a step that reached `loss`, whose digests it takes in.
    pub fn record<T: Real, const P: usize>(
        &mut self,
        step: u32,
        schedule: InverseTime<T>,
        loss: Dual<T, P>,
    ) -> Result<Record, Failed> {
        self.value(loss.value)?;
        self.tangents(loss)?;
        Ok(Record {
            step,
            schedule: schedule.parameters().map(T::bits),
            loss: loss.value.bits(),
            digest: self.values.value(),
        })
    }

    /// The report of a run whose last loss is `loss`.
    pub fn report<T: Real, const P: usize>(self, loss: Dual<T, P>) -> Report {
        let mut derivatives = [0; 3];
        for (bits, tangent) in derivatives.iter_mut().zip(loss.tangents) {
            *bits = tangent.bits();
        }
        Report {
            values: self.values.value(),
            tangents: self.tangents.value(),
            loss: loss.value.bits(),
            derivatives,
        }
    }
}
