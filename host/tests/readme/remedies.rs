//! Biases apart, and remedies side by side.

use myopia::shown::number;
use serde_json::Value;

use crate::published::{column, read};

/// A signed number with a minus sign that is one.
fn signed(x: f64, places: usize) -> String {
    format!("{}{:.places$}", if x < 0.0 { "−" } else { "" }, x.abs())
}

/// The tables of networks, and what perturbations have to do with the sign.
#[test]
fn what_it_says_of_biases_of_networks_is_published() {
    let readme = read("results/README.md");
    for name in ["biases-glyphs", "biases-mnist"] {
        let file = format!("results/{name}/biases.csv");
        let get = |name: &str| column(&file, name);
        let parts = ["hysteresis", "truncation", "horizon"].map(get);
        let spread = |name: &str| {
            [name.to_owned(), format!("{name}_least"), format!("{name}_greatest")]
                .map(|name| get(&name))
        };
        let shown = |[median, least, greatest]: &[Vec<f64>; 3], k: usize| {
            let [a, b, c] = [median, least, greatest].map(|all| signed(all[k], 4));
            format!("{a} ({b} to {c})")
        };
        let (bias, end) = (spread("bias"), spread("final_loss"));
        let (deviation, cost) = (get("standard_deviation"), get("cost_of_estimate"));
        for (k, line) in read(&file).lines().skip(1).enumerate() {
            let mut cells = line.split(',');
            let (estimator, sigma) = (cells.next().unwrap(), cells.next().unwrap());
            let apart = match sigma {
                "" => parts.each_ref().map(|part| format!(" {} ", signed(part[k], 4))).join("|"),
                _ => " | | ".to_owned(),
            };
            let line = format!(
                "| {estimator} | {sigma} |{apart}| {} | {:.4} | {:.0} | {} |",
                shown(&bias, k),
                deviation[k],
                cost[k],
                shown(&end, k)
            );
            assert!(readme.contains(&line), "results/README.md lacks {line}");
        }
    }
    let said = readme.split_whitespace().collect::<Vec<_>>().join(" ");
    let truncations = |name: &str| {
        let file = format!("results/{name}/biases.csv");
        let all = column(&file, "truncation").into_iter().zip(
            read(&file)
                .lines()
                .skip(1)
                .map(|line| ["hd", "marthe", "truncated"].iter().any(|of| line.starts_with(of)))
                .collect::<Vec<_>>(),
        );
        let mut all: Vec<f64> = all.filter(|of| of.1).map(|of| of.0).collect();
        all.sort_by(f64::total_cmp);
        [all[0], all[all.len() - 1]]
    };
    let [glyphs, mnist] = ["biases-glyphs", "biases-mnist"].map(truncations);
    let ends = ["final_loss_least", "final_loss_greatest"]
        .map(|name| column("results/biases-mnist/biases.csv", name));
    assert!(ends[0].iter().all(|least| ends[1].iter().all(|greatest| least <= greatest)));
    let all = estimators("biases-glyphs");
    let of = |name: &str, sigma: f64| {
        all.iter()
            .find(|of| of["estimator"] == name && of["sigma"].as_f64().unwrap_or(0.0) == sigma)
            .unwrap()
    };
    let middle = |name: &str, sigma: f64, what: &str| {
        let mut found: Vec<f64> =
            seeds(of(name, sigma)).iter().map(|of| of[what].as_f64().unwrap()).collect();
        found.sort_by(f64::total_cmp);
        found[found.len() / 2]
    };
    let end = |name: &str| middle(name, 0.0, "final_loss");
    let opposite = |estimator: &Value| {
        let turned = |of: &&Value| of["exact"].as_f64().unwrap() * mean(of) < 0.0;
        seeds(estimator).iter().filter(turned).count()
    };
    for sentence in [
        format!("truncation is {:.3} to {:.3}", glyphs[0], glyphs[1]),
        format!("either sign, {} to {:.3}", signed(mnist[0], 3), mnist[1]),
        format!("hysteresis of {}", signed(middle("rtho", 0.0, "hysteresis"), 3)),
        format!(
            "RTHO ends at {:.4}, hypergradient descent at {:.4}, and a constant rate tuned run by run at {:.4}",
            end("rtho"),
            end("hd"),
            end("full")
        ),
        format!("other sign than G on {} of 3 seeds", opposite(of("es 10", 0.1))),
        format!("sign of G on {} of 3", 3 - opposite(of("pes 10", 0.1))),
        format!(
            "deviation of {:.4} and costs {:.0} steps",
            middle("pes 10", 0.1, "standard_deviation"),
            middle("pes 10", 0.1, "cost_of_estimate")
        ),
        format!("tangent takes {:.0} and", middle("full", 0.0, "cost_of_estimate")),
        format!(
            "from {:.4} to {:.4} with ten",
            middle("pes 10", 0.1, "standard_deviation"),
            middle("pes 10", 0.001, "standard_deviation")
        ),
    ] {
        assert!(said.contains(&sentence), "results/README.md lacks {sentence}");
    }
    let mut wrong = [0; 2];
    for name in ["biases-sigma-plain", "biases-sigma"] {
        for estimator in estimators(name).iter().filter(|of| of["estimator"] == "pes 2") {
            let sigma = estimator["sigma"].as_f64().unwrap();
            let cells: Vec<String> = seeds(estimator)
                .iter()
                .map(|of| {
                    let error = of["error_of_bias"].as_f64().unwrap();
                    format!("{} ± {error:.4}", signed(mean(of), 4))
                })
                .collect();
            let line = format!("| | σ = {sigma} | {} |", cells.join(" | "));
            assert!(readme.contains(&line), "results/README.md lacks {line}");
            match sigma {
                0.01 => wrong[0] += opposite(estimator),
                0.001 => wrong[1] += opposite(estimator),
                0.0001 => {
                    for of in seeds(estimator) {
                        let ratio = mean(of) / of["exact"].as_f64().unwrap();
                        assert!((ratio - 1.0).abs() < 0.05, "{name} {of}");
                    }
                }
                _ => {}
            }
        }
    }
    let sentence = format!("wrong sign on {} of 6, with 0.001 on {} of 6", wrong[0], wrong[1]);
    assert!(said.contains(&sentence), "results/README.md lacks {sentence}");
}

/// The estimators of a table of a network.
fn estimators(name: &str) -> Vec<Value> {
    let report: Value =
        serde_json::from_str(&read(&format!("results/{name}/biases.json"))).unwrap();
    report["estimators"].as_array().unwrap().clone()
}

/// What one came to with each seed.
fn seeds(estimator: &Value) -> &Vec<Value> {
    estimator["seeds"].as_array().unwrap()
}

/// What particles estimate in the mean.
fn mean(of: &Value) -> f64 {
    of["exact"].as_f64().unwrap() + of["bias"].as_f64().unwrap()
}

#[test]
fn what_it_says_of_biases_is_published() {
    let readme = read("results/README.md");
    let said = readme.split_whitespace().collect::<Vec<_>>().join(" ");
    let file = "results/biases/biases.csv";
    let get = |name: &str| column(file, name);
    let names: Vec<String> =
        read(file).lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()).collect();
    let [hysteresis, truncation, horizon] = ["hysteresis", "truncation", "horizon"].map(get);
    let [bias, deviation, error] = ["bias", "standard_deviation", "error_of_bias"].map(get);
    let [cost, end] = ["cost_of_estimate", "final_loss"].map(get);
    for (k, name) in names.iter().enumerate() {
        let line = if error[k] > 0.0 {
            format!(
                "| {name} | | | | {} ± {:.4} | {:.4} | {:.0} | {:.4} |",
                signed(bias[k], 4),
                error[k],
                deviation[k],
                cost[k],
                end[k]
            )
        } else {
            format!(
                "| {name} | {} | {} | {} | {} | 0 | {:.0} | {:.4} |",
                signed(hysteresis[k], 4),
                signed(truncation[k], 4),
                signed(horizon[k], 4),
                signed(bias[k], 4),
                cost[k],
                end[k]
            )
        };
        assert!(readme.contains(&line), "results/README.md lacks {line}");
    }
    let at = |name: &str| names.iter().position(|own| own == name).unwrap();
    let (es, pes) = (at("es 10"), at("pes 10"));
    // Particles that make the standard deviation of PES as small as what it takes away.
    let many = 10.0 * (deviation[pes] / truncation[es]) * (deviation[pes] / truncation[es]);
    for sentence in [
        format!("the truncation of a window, {:.4}", truncation[es]),
        format!("takes {:.0} particles and {:.0},000 steps", many, many),
        format!("hysteresis of {:.3}", hysteresis[at("rtho")]),
    ] {
        assert!(said.contains(&sentence), "results/README.md lacks {sentence}");
    }
    assert!((bias[es] - truncation[es]).abs() < error[es] && bias[pes].abs() < error[pes]);
    let lowest = end.iter().fold(f64::INFINITY, |a, b| if *b < a { *b } else { a });
    assert_eq!(lowest, end[at("truncated:100")]);
}

/// The rows and sentences of `results/NAME`, training runs of so many steps.
fn assert_compared(name: &str, steps: f64) {
    let readme = read("results/README.md");
    let said = readme.split_whitespace().collect::<Vec<_>>().join(" ");
    let file = read(&format!("results/{name}/remedies.json"));
    let report: Value = serde_json::from_str(&file).unwrap();
    let ends = |spread: &Value, scale: f64, places: usize| {
        let ends = spread.as_array()?.iter().map(|x| scale * x.as_f64().unwrap());
        let ends: Vec<String> = ends.map(|x| number(x, places)).collect();
        Some(format!("{} ({} to {})", ends[1], ends[0], ends[2]))
    };
    for of in report["remedies"].as_array().unwrap() {
        let cost = of["cost"].as_f64().unwrap() / steps;
        let line = format!(
            "| {} | {} | {} | {} | {} | {} |",
            of["remedy"].as_str().unwrap(),
            of["setting"].as_f64().map_or(String::new(), |setting| setting.to_string()),
            of["seeds"],
            number(cost, 1),
            ends(&of["training_loss"], 1.0, 6).unwrap_or("diverged".to_owned()),
            ends(&of["test_error"], 100.0, 2).unwrap_or_default(),
        );
        assert!(readme.contains(&line), "results/README.md lacks {line}");
    }
    for sentence in report["sentences"].as_array().unwrap() {
        let sentence = sentence.as_str().unwrap();
        assert!(said.contains(sentence), "results/README.md lacks {sentence}");
    }
}

#[test]
fn what_it_says_of_remedies_on_glyphs_is_published() {
    assert_compared("remedies-glyphs", 2000.0);
}

#[test]
fn what_it_says_of_remedies_on_mnist_is_published() {
    assert_compared("remedies", 20_000.0);
}

/// Constant rates between those of the grid, and what lies below the best of them with every seed.
#[test]
fn what_it_says_of_constant_rates_on_mnist_is_published() {
    let said = read("results/README.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let file = read("results/remedies-constants/compare.json");
    let report: Value = serde_json::from_str(&file).unwrap();
    let ends = |name: &str| {
        let all = report["summary"].as_array().unwrap();
        let of = all.iter().find(|of| of["schedule"] == name).unwrap();
        [0, 1, 2].map(|which| of["training_loss"][which].as_f64().unwrap())
    };
    let [least, median, greatest] = ends("decay:0.06,1,0");
    let sentence = format!("0.06 ends at {median:.6} ({least:.6} to {greatest:.6})");
    assert!(said.contains(&sentence), "results/README.md lacks {sentence}");
    let [of_some, median, most] = ends("decay:0.07,1,0");
    let sentence = format!("0.07 at {median:.4} ({of_some:.6} to {most:.4})");
    assert!(said.contains(&sentence), "results/README.md lacks {sentence}");
    let remedies: Value = serde_json::from_str(&read("results/remedies/remedies.json")).unwrap();
    let below = remedies["remedies"].as_array().unwrap().iter().filter(|of| {
        let most = of["training_loss"].as_array().map(|ends| ends[2].as_f64().unwrap());
        of["seeds"] == 5 && most.is_some_and(|most| most < least)
    });
    let names: Vec<_> = below.map(|of| of["remedy"].as_str().unwrap()).collect();
    assert_eq!(names, ["truncated:10"]);
}

#[test]
fn what_the_first_page_says_of_remedies_is_published() {
    let said = read("README.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let remedies: Value = serde_json::from_str(&read("results/remedies/remedies.json")).unwrap();
    let of = |name: &str| {
        let all = remedies["remedies"].as_array().unwrap();
        let of = all.iter().find(|of| of["remedy"] == name).unwrap();
        [0, 1, 2].map(|which| of["training_loss"][which].as_f64().unwrap())
    };
    let judged = |name: &str, ahead: u32| of(&format!("{name} judge, {ahead} ahead"));
    let (plain, annealed) = (judged("plain", 1000), judged("cool-down", 1000));
    let (short, cooled) = (judged("plain", 100), judged("cool-down", 100));
    assert!(annealed[2] < plain[0] && cooled[2] > short[0]);
    for sentence in [
        format!("lead to a training loss of {:.3}, judged after a", plain[1]),
        format!(
            "then discarded to {:.6}; of 100 steps, to {:.3} and {:.4}",
            annealed[1], short[1], cooled[1]
        ),
        format!("a measured spectrum ends at {:.6}, a constant", of("planned")[1]),
    ] {
        assert!(said.contains(&sentence), "README.md lacks {sentence}");
    }
}

/// Whatever the program says of a public figure that it ran again.
#[test]
fn what_it_says_of_public_figures_is_published() {
    let said = read("results/README.md").split_whitespace().collect::<Vec<_>>().join(" ");
    for name in ["reruns-hd", "reruns-pes", "reruns-influence"] {
        let file = read(&format!("results/{name}/reruns.json"));
        let report: Value = serde_json::from_str(&file).unwrap();
        for sentence in report["sentences"].as_array().unwrap() {
            let sentence = sentence.as_str().unwrap();
            assert!(said.contains(sentence), "results/README.md lacks {sentence}");
        }
    }
}

#[test]
fn what_it_says_of_hypergradient_descent_is_published() {
    let file = read("results/reruns-hd/reruns.json");
    let report: Value = serde_json::from_str(&file).unwrap();
    let numbers = |of: &Value| -> [f64; 3] { [0, 1, 2].map(|k| of[k].as_f64().unwrap()) };
    // Losses that were published against the ranges here: nine inside, three nearly.
    let all = report["comparisons"].as_array().unwrap().iter();
    let off: Vec<f64> = all
        .filter(|of| of["quantity"].as_str().unwrap().contains("loss"))
        .map(|of| {
            let published = of["published"].as_f64().unwrap();
            let [least, _, greatest] = numbers(&of["found"]);
            let under = if published < least { least - published } else { 0.0 };
            let over = if published > greatest { published - greatest } else { 0.0 };
            (under + over) / published
        })
        .collect();
    assert_eq!((off.len(), off.iter().filter(|&&off| off == 0.0).count()), (12, 9));
    assert!(off.iter().all(|&off| off < 0.0035), "{off:?}");
    let best = |step: u32, ahead: u32| {
        let all = report["look_aheads"].as_array().unwrap();
        let of = all.iter().find(|of| of["step"] == step && of["ahead"] == ahead).unwrap();
        (numbers(&of["rate"]), numbers(&of["best"]))
    };
    // 1,000 steps on the best rate stays.
    for step in [0, 14, 100, 469, 2345] {
        let (_, [_, median, _]) = best(step, 1000);
        assert!((0.0749..0.1001).contains(&median), "{step} {median}");
    }
    let (rate, far) = best(2345, 1000);
    let (_, near) = best(2345, 10);
    let said = read("results/README.md").split_whitespace().collect::<Vec<_>>().join(" ");
    for sentence in [
        format!(
            "After 2,345 steps the rate is {:.4}; best ten steps on are {:.4}, a thousand steps on {:.4}.",
            rate[1], near[1], far[1]
        ),
        format!("best rates there range from {:.4} to {:.4}", near[0], near[2]),
    ] {
        assert!(said.contains(&sentence), "results/README.md lacks {sentence}");
    }
}

#[test]
fn what_it_says_of_windows_is_published() {
    let report: Value = serde_json::from_str(&read("results/reruns-pes/reruns.json")).unwrap();
    let lowest = report["lowest"][2].as_f64().unwrap();
    let mut range = [f64::INFINITY, 0.0];
    for of in report["ends"].as_array().unwrap() {
        let number = |name: &str, which: usize| of[name][which].as_f64().unwrap();
        let [least, _, greatest] = [0, 1, 2].map(|which| number("log10_beta", which));
        if of["method"].as_str().unwrap().starts_with("dropped") {
            assert!(least > 1.39 && greatest < 1.5, "{of}");
            assert!(number("mean_loss", 0) > 2.5 * lowest, "{of}");
        } else {
            let [least, greatest] = [least, greatest].map(|x| libm::pow(10.0, x));
            range = [
                if least < range[0] { least } else { range[0] },
                if greatest > range[1] { greatest } else { range[1] },
            ];
            // Between the points of the map there is less than its lowest.
            let [least, _, greatest] = [0, 1, 2].map(|which| number("mean_loss", which));
            assert!(least < lowest, "{of}");
            assert_eq!(greatest < lowest, of["method"] == "carried 100", "{of}");
        }
        assert_eq!(of["diverged"], 0);
    }
    let sentence = format!("we end at β of {:.1} to {:.1}", range[0], range[1]);
    let said = read("results/README.md").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains(&sentence), "results/README.md lacks {sentence}");
}
