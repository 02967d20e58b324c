//! p
use myopia_core::nqm::Direction;
use myopia_nqm::optimum::*;
use myopia_nqm::reparametrization::Variables;
use myopia_nqm::tolerances::*;
use myopia_nqm::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let dim: usize = a[2].parse().unwrap();
    let num = |t: &str| -> Vec<f64> {
        t.split_once(':').unwrap().1.split(',').map(|x| x.parse().unwrap()).collect()
    };
    let dirs: Vec<Direction<f64>> = if a[3].starts_with("file") {
        vec![
            Direction {
                curvature: 1.0,
                noise_variance: 1.0,
                initial_mean: 0.0,
                initial_variance: 1.0,
            },
            Direction {
                curvature: 0.5,
                noise_variance: 2.0,
                initial_mean: 0.0,
                initial_variance: 1.0,
            },
        ]
    } else {
        (0..dim)
            .map(|i| {
                let f = if dim > 1 { i as f64 / (dim - 1) as f64 } else { 0.0 };
                let h = if a[3].starts_with("geo") {
                    let n = num(&a[3]);
                    n[1] * (n[0] / n[1]).powf(f)
                } else if a[3].starts_with("uni") {
                    let n = num(&a[3]);
                    n[1] - (n[1] - n[0]) * f
                } else {
                    1.0 / (i + 1) as f64
                };
                let s = if a[4].starts_with("inv") {
                    1.0 / h
                } else if a[4] == "none" {
                    0.0
                } else {
                    num(&a[4])[0]
                };
                Direction {
                    curvature: h,
                    noise_variance: s,
                    initial_mean: a[5].parse().unwrap(),
                    initial_variance: a[6].parse().unwrap(),
                }
            })
            .collect()
    };
    let q = Quadratic::new(dirs).unwrap();
    let v = if a[1] == "both" {
        Variables::LearningRatesAndMomenta
    } else {
        Variables::LearningRates { momentum: a[8].parse().unwrap() }
    };
    let mut c = Control::default();
    if let Ok(t) = std::env::var("TOT") {
        c.tolerances.evaluations = t.parse().unwrap();
    }
    if let Ok(t) = std::env::var("PER") {
        c.tolerances.evaluations_per_start = t.parse().unwrap();
    }
    if let Ok(t) = std::env::var("MEM") {
        c.tolerances.lbfgs_memory_pairs = t.parse().unwrap();
    }
    if let Ok(t) = std::env::var("CONT") {
        c.tolerances.continued_ends = t.parse().unwrap();
    }
    let t = std::time::Instant::now();
    let o = optimal(&q, &q.start(), a[7].parse().unwrap(), v, &c).unwrap();
    let max = o.schedule.iter().map(|s| s.momentum).fold(0.0, f64::max);
    println!(
        "{} excess {:.12e} grad {:.1e} iters {} stationary {} maxmu {:.4} {:.2}s",
        a[1..].join(" "),
        o.excess,
        o.gradient_norm,
        o.evaluations,
        o.stationary,
        max,
        t.elapsed().as_secs_f64()
    );
}
