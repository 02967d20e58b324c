//! What `results/README.md` says of MNIST is what the published tables say.

use std::path::Path;

fn read(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read_to_string(root.join(name)).unwrap()
}

/// The rows of a published `horizons.csv`, each a number by the name of its column.
fn horizons(name: &str) -> Vec<impl Fn(&str) -> f64> {
    let table = read(&format!("results/{name}/horizons.csv"));
    let mut lines = table.lines();
    let columns: Vec<String> = lines.next().unwrap().split(',').map(str::to_owned).collect();
    lines
        .map(|line| {
            let fields: Vec<String> = line.split(',').map(str::to_owned).collect();
            let columns = columns.clone();
            move |column: &str| {
                let at = columns.iter().position(|name| name == column).unwrap();
                fields[at].parse().unwrap()
            }
        })
        .collect()
}

#[test]
fn the_table_of_the_training_loss_and_its_ratio_are_the_published_ones() {
    let readme = read("results/README.md");
    let rows = horizons("horizons-train");
    for row in &rows {
        let line = format!(
            "| {} | {:.3} | {:.2} | {:.4} | {:.4} | {:.2} % |",
            row("horizon"),
            row("alpha0"),
            row("beta"),
            row("loss_at_horizon"),
            row("training_loss"),
            100.0 * row("test_error")
        );
        assert!(readme.contains(&line), "results/README.md lacks {line}");
    }
    let [short, .., long] = rows.as_slice() else { panic!("at least two horizons") };
    let ratio =
        format!("{:.0} times the training loss", short("training_loss") / long("training_loss"));
    assert!(readme.contains(&ratio), "results/README.md lacks {ratio}");
}

#[test]
fn what_it_says_of_held_out_images_is_published() {
    let readme = read("results/README.md");
    let rows = horizons("horizons");
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
