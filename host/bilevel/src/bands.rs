//! Errors by curvature: directions of H in bands of equal ratios.

use myopia_core::bilevel::linear::dot;
use myopia_core::elementary::{Elementary, Libm};
use serde::Serialize;

use crate::problem::Spectrum;

/// Bands at most.
const BANDS: usize = 4;

/// Directions whose curvatures lie near each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Bands {
    bands: Vec<Vec<usize>>,
    spectrum_vectors: Option<Vec<f64>>,
    curvatures: Vec<f64>,
}

/// The error of an approximation in one band.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BandError {
    /// Lowest curvature in the band.
    pub lowest: f64,
    /// Highest.
    pub highest: f64,
    /// Directions in it.
    pub directions: usize,
    /// |P(x − H⁻¹v)|/|PH⁻¹v| with P the projection on the band; none where v is zero in it.
    pub relative_error: Option<f64>,
}

impl Bands {
    /// Up to four bands of equal ratios of curvature, from the lowest up, empty ones left out.
    pub fn new(spectrum: Spectrum) -> Self {
        let Spectrum { curvatures, vectors } = spectrum;
        let mut order: Vec<usize> = (0..curvatures.len()).collect();
        order.sort_by(|a, b| curvatures[*a].total_cmp(&curvatures[*b]));
        let mut bands = vec![Vec::new(); BANDS];
        if let (Some(first), Some(last)) = (order.first(), order.last()) {
            let (lowest, highest) = (curvatures[*first], curvatures[*last]);
            let width = Libm::ln(highest / lowest) / BANDS as f64;
            for place in order {
                let above = Libm::ln(curvatures[place] / lowest);
                let edges = 1..BANDS;
                let band =
                    edges.filter(|e| above >= *e as f64 * width * (1.0 - 1e-12) && width > 0.0);
                bands[band.count()].push(place);
            }
        }
        bands.retain(|members| !members.is_empty());
        Self { bands, spectrum_vectors: vectors, curvatures }
    }

    /// The errors of `x` against `exact`.
    pub fn errors(&self, x: &[f64], exact: &[f64]) -> Vec<BandError> {
        let difference: Vec<f64> = x.iter().zip(exact).map(|(x, e)| x - e).collect();
        let along = |vector: &[f64], i: usize| match &self.spectrum_vectors {
            None => vector[i],
            Some(vectors) => dot(&vectors[i * vector.len()..][..vector.len()], vector),
        };
        let norm = |vector: &[f64], members: &[usize]| {
            let parts: Vec<f64> = members.iter().map(|i| along(vector, *i)).collect();
            Libm::sqrt(dot(&parts, &parts))
        };
        let error = |members: &Vec<usize>| {
            let size = norm(exact, members);
            BandError {
                lowest: self.curvatures[members[0]],
                highest: self.curvatures[members[members.len() - 1]],
                directions: members.len(),
                relative_error: (size > 0.0).then(|| norm(&difference, members) / size),
            }
        };
        self.bands.iter().map(error).collect()
    }

    /// The highest and the lowest curvature.
    pub fn range(&self) -> Option<(f64, f64)> {
        let (first, last) = (self.bands.first()?.first()?, self.bands.last()?.last()?);
        Some((self.curvatures[*first], self.curvatures[*last]))
    }
}
