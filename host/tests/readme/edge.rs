//! Where the derivative ends.

use serde_json::Value;

use crate::published::{column, read};

#[test]
fn what_it_says_of_the_edge_is_published() {
    let readme = read("results/README.md");
    let [rates, losses, slopes, exponents, stability, agreement, signal] = [
        "alpha0",
        "loss",
        "derivative",
        "exponent",
        "edge_of_stability",
        "agreement_0.01",
        "signal_to_noise",
    ]
    .map(|name| column("results/edge/edge.csv", name));
    assert_eq!(rates.len(), 14);
    for row in 0..rates.len() {
        let line = format!(
            "| {:.3} | {:.3} | {:.1e} | {:.5} | {:.2} | {:.1e} |",
            rates[row], losses[row], slopes[row], exponents[row], stability[row], agreement[row]
        );
        let line = line.replace('-', "−");
        assert!(readme.contains(&line), "results/README.md lacks {line}");
    }
    let edge: Value = serde_json::from_str(&read("results/edge/edge.json")).unwrap();
    let sentence = edge["sentences"][0].as_str().unwrap();
    assert!(readme.contains(sentence), "results/README.md lacks {sentence}");
    // What the text says of them.
    let [hessian, gauss_newton] =
        ["sharpness", "gauss_newton"].map(|name| column("results/edge/edge.csv", name));
    let apart = hessian.iter().zip(&gauss_newton).map(|(h, g)| (h / g - 1.0).abs());
    let apart = 100.0 * apart.fold(0.0, |a: f64, b| if b > a { b } else { a });
    let line = format!("Gauss-Newton matrix is that of the Hessian to {apart:.1} %.");
    assert!(readme.contains(&line), "results/README.md lacks {line}");
    assert!(stability.iter().all(|x| *x < 1.0) && exponents[0] < 0.0);
    assert!(slopes[..9].iter().all(|x| x.abs() < 10.0) && slopes[9].abs() > 100.0);
    let [before, after] = [8, 9].map(|row| (rates[row], 100.0 * exponents[row]));
    let line = format!(
        "Between {:.3} and {:.3}, where the exponent times the steps goes from {:.1} to {:.1},",
        before.0, after.0, before.1, after.1
    );
    assert!(readme.contains(&line), "results/README.md lacks {line}");
    assert_eq!(signal.iter().filter(|x| **x > 1.0).count(), 1);
}

#[test]
fn what_it_says_of_maclaurins_figure_is_published() {
    let readme = read("results/README.md");
    let lacks = |line: &str| assert!(readme.contains(line), "results/README.md lacks {line}");
    let [rates, losses, slopes, exponents, stability, agreement] =
        ["alpha0", "loss", "derivative", "exponent", "edge_of_stability", "agreement_0.001"]
            .map(|name| column("results/edge-maclaurin/edge.csv", name));
    let finite: Vec<usize> = (0..rates.len()).filter(|&row| slopes[row].is_finite()).collect();
    let first = |is: &dyn Fn(usize) -> bool| *finite.iter().find(|&&row| is(row)).unwrap();
    let spike = first(&|row| slopes[row].abs() > 1e4);
    assert_eq!(spike, first(&|row| losses[row] > 1.0));
    let logarithm = libm::log(10.0 * rates[spike]);
    lacks(&format!("first exceeds 10⁴ at ln α = {logarithm:.2} (α₀ = {:.3})", rates[spike]));
    let middle = |numbers: &[f64], rows: &[usize]| {
        let mut found: Vec<f64> = rows.iter().map(|&row| numbers[row].abs()).collect();
        found.sort_by(f64::total_cmp);
        (found[found.len() / 2], found[found.len() - 1])
    };
    let (below, above): (Vec<usize>, Vec<usize>) = finite
        .iter()
        .filter(|&&row| rates[row] < 0.44 || rates[row] >= 0.45)
        .partition(|&&row| rates[row] < 0.44);
    let (calm, wild) = (middle(&slopes, &below), middle(&slopes, &above));
    assert!(calm.1 < 185.0);
    lacks(&format!(
        "has the median {:.2} and never exceeds 185; from 0.45 on {:.0}, up to {:.1e}.",
        calm.0, wild.0, wild.1
    ));
    assert!(exponents.iter().all(|x| x.is_nan() || *x > 0.0));
    let exponents = [&below, &above].map(|rows| middle(&exponents, rows).0);
    lacks(&format!("its median {:.3} below and {:.3} above", exponents[0], exponents[1]));
    let sharp: Vec<usize> = finite.iter().copied().filter(|&row| stability[row] > 1.0).collect();
    lacks(&format!(
        "at {} rates of {}, the least of them\n{:.3}",
        sharp.len(),
        finite.len(),
        rates[sharp[0]]
    ));
    let share = |is: &dyn Fn(f64) -> bool| {
        let count = below.iter().filter(|&&row| is(agreement[row])).count();
        100.0 * count as f64 / below.len() as f64
    };
    lacks(&format!(
        "to 10 % at {:.1} % of\nthe calm rates, and its sign at {:.0} % of them.",
        share(&|x| (x - 1.0).abs() < 0.1),
        share(&|x| x > 0.0)
    ));
}
