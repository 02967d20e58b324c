//! Schedules tuned at several horizons, by the training loss and by held-out images.

use std::collections::BTreeMap;

use crate::published::{read, rows, three};

#[test]
fn the_tables_of_the_training_loss_over_seeds_are_the_published_ones() {
    let readme = read("results/README.md");
    let folders = [
        ("α₀, β", "table-beta"),
        ("α₀, β", "table-beta-20000"),
        ("all three", "table-all"),
        ("all three", "table-all-20000"),
    ];
    let mut ends = Vec::new();
    for (learned, folder) in folders {
        for row in rows(folder, "summary") {
            let cell = |name: &str, scale: f64, unit: &str| {
                let [median, least, greatest] =
                    ["", "_least", "_greatest"].map(|end| scale * row(&format!("{name}{end}")));
                match least < greatest {
                    true => {
                        format!("{}{unit} ({}–{})", three(median), three(least), three(greatest))
                    }
                    false => format!("{}{unit}", three(median)),
                }
            };
            let line = format!(
                "| {learned} | [{}]({folder}) | {} | {} | {} | {} | {} | {} | {} |",
                row("horizon"),
                row("seeds"),
                cell("alpha0", 1.0, ""),
                cell("time_constant", 1.0, ""),
                cell("beta", 1.0, ""),
                cell("loss_at_horizon", 1.0, ""),
                cell("training_loss", 1.0, ""),
                cell("test_error", 100.0, " %")
            );
            assert!(readme.contains(&line), "results/README.md lacks {line}");
            let moved = format!("{} %", three(100.0 * row("moved")));
            assert!(readme.contains(&moved), "results/README.md lacks {moved}");
            ends.push((row("horizon"), row("training_loss")));
        }
    }
    let ratio = format!("{:.0} times the training loss at T = 100", ends[0].1 / ends[3].1);
    assert!(readme.contains(&ratio), "results/README.md lacks {ratio}");
    // The longer the horizon, the lower the end, on every seed.
    for learned in folders.chunks(2) {
        let mut of_seeds: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for (_, folder) in learned {
            for row in rows(folder, "horizons") {
                of_seeds.entry(row("seed") as u64).or_default().push(row("training_loss"));
            }
        }
        assert_eq!(of_seeds.len(), 3);
        assert!(of_seeds.values().all(|ends| ends.windows(2).all(|pair| pair[1] < pair[0])));
    }
    // Descents that end past the edge, by the largest derivative by a logarithm in their last row.
    let mut lost = BTreeMap::new();
    for (_, folder) in &folders[..2] {
        let mut last = BTreeMap::new();
        for row in rows(folder, "trajectories") {
            let slopes =
                ["alpha0", "beta"].map(|name| (row(name) * row(&format!("d_{name}"))).abs());
            let key = ["horizon", "seed", "start"].map(|name| row(name) as u64);
            last.insert(key, if slopes[0] > slopes[1] { slopes[0] } else { slopes[1] });
        }
        for ([horizon, ..], slope) in last.iter().filter(|(_, slope)| **slope > 1e10) {
            lost.entry(*horizon).or_insert_with(Vec::new).push(libm::log10(*slope).floor() as i32);
        }
    }
    assert_eq!(lost.get(&5000), Some(&vec![17, 29]), "{lost:?}");
    assert_eq!(lost.get(&20_000).map(Vec::len), Some(1), "{lost:?}");
    assert_eq!(lost.len(), 2);
}

#[test]
fn what_it_says_of_held_out_images_is_published() {
    let readme = read("results/README.md");
    let rows = rows("horizons", "horizons");
    let [short, .., long] = rows.as_slice() else { panic!("at least two horizons") };
    let ratio = format!("{:.1} times the loss", short("validation_loss") / long("validation_loss"));
    assert!(readme.contains(&ratio), "results/README.md lacks {ratio}");

    let surface = read("results/surface/surface.csv");
    let best = |horizon: &str| {
        let cells = surface.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
        let finite = cells.filter(|cell| cell[4] == horizon && !cell[5].is_empty());
        let loss = |cell: &[&str]| cell[5].parse::<f64>().unwrap();
        let best = finite.min_by(|a, b| loss(a).total_cmp(&loss(b))).unwrap();
        (best[1].parse::<f64>().unwrap(), best[3].parse::<f64>().unwrap())
    };
    let (alpha0, beta) = best("100");
    let short = format!("α₀ = {alpha0:.2}, β = {beta:.0}");
    assert!(readme.contains(&short), "results/README.md lacks {short}");
    for horizon in ["1000", "5000", "20000"] {
        let near = format!("near β = {:.0}", best(horizon).1);
        assert!(readme.contains(&near), "results/README.md lacks {near} (T = {horizon})");
    }
}
