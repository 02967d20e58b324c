//! Measurements as a person reads them.

use std::io::{self, Write};

use super::{Measured, Time};

/// Prints what was measured, one table for each network, number of tangents and instruction set.
pub fn print(out: &mut dyn Write, measured: &[Measured]) -> io::Result<()> {
    for m in measured {
        let layers: Vec<String> = m.layers.iter().map(usize::to_string).collect();
        let tangents = match m.tangents {
            0 => "plain step".to_owned(),
            n => format!("{n} tangents"),
        };
        writeln!(
            out,
            "{}, {}, batch {}, {tangents}, {}: peak {:.0} GFLOP/s",
            layers.join("-"),
            m.images,
            m.batch,
            m.isa,
            m.peak_gflops
        )?;
        writeln!(
            out,
            "{:30}{:>10}  {:>19}  {:>8}  {:>7}",
            "", "median µs", "quartiles", "GFLOP/s", "of peak"
        )?;
        for time in &m.times {
            let Time { what, median_us, quartiles_us: [low, high], gflops, of_peak, .. } = time;
            write!(out, "  {what:28}{median_us:10.1}  {low:9.1} {high:9.1}")?;
            if *gflops > 0.0 {
                write!(out, "  {gflops:8.1}  {:6.0}%", of_peak * 100.0)?;
            }
            writeln!(out)?;
        }
        let [values, tangents] = &m.digests;
        match m.tangents {
            0 => writeln!(out, "  digest {values}\n")?,
            _ => writeln!(out, "  digest {values}, of the tangents {tangents}\n")?,
        }
    }
    Ok(())
}
