//! Lays out the chosen board's memory for the linker, from its row in `targets.toml`.

use std::{env, fs, path::PathBuf};

use serde::Deserialize;

#[derive(Deserialize)]
struct Table {
    target: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    triple: String,
    set: Set,
    flash: Option<Region>,
    ram: Option<Region>,
    stack: Option<u32>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Set {
    Full,
    Reduced,
    Tour,
}

#[derive(Deserialize)]
struct Region {
    origin: u32,
    size: u32,
}

fn main() {
    println!("cargo::rerun-if-changed=targets.toml");
    println!("cargo::rustc-check-cfg=cfg(armv7m)");
    println!("cargo::rustc-check-cfg=cfg(reduced)");
    if env::var("CARGO_CFG_TARGET_OS").unwrap() != "none" {
        println!("cargo::rustc-env=MYOPIA_TARGET={}", env::var("TARGET").unwrap());
        return;
    }
    let table: Table = toml::from_str(&fs::read_to_string("targets.toml").unwrap())
        .unwrap_or_else(|error| panic!("firmware/targets.toml: {error}"));
    let board = match chosen_board(&table) {
        Ok(board) => board,
        Err(message) => {
            println!("cargo::error={message}");
            return;
        }
    };

    println!("cargo::rustc-env=MYOPIA_TARGET={}", board.name);
    if board.triple.starts_with("thumbv7") {
        println!("cargo::rustc-cfg=armv7m");
    }
    if board.set == Set::Reduced {
        println!("cargo::rustc-cfg=reduced");
    }

    let out = PathBuf::from(env::var("OUT_DIR").unwrap());
    fs::write(out.join("memory.x"), memory_x(board)).unwrap();
    println!("cargo::rustc-link-search={}", out.display());
    match env::var("CARGO_CFG_TARGET_ARCH").unwrap().as_str() {
        "arm" => {
            // Without --nmagic the linker pads the first segment back to a page boundary.
            println!("cargo::rustc-link-arg-bins=--nmagic");
            println!("cargo::rustc-link-arg-bins=-Tlink.x");
            println!("cargo::rustc-link-arg-bin=myopia-firmware=-Tdefmt.x");
        }
        _ => {
            println!("cargo::rustc-link-arg-bins=-Tmemory.x");
            println!("cargo::rustc-link-arg-bins=-Tlink.x");
        }
    }
}

/// The one board whose feature is on, if it fits the compiler's target.
fn chosen_board(table: &Table) -> Result<&Target, String> {
    let is_on = |target: &&Target| {
        let feature = target.name.to_uppercase().replace('-', "_");
        env::var_os(format!("CARGO_FEATURE_{feature}")).is_some()
    };
    let mut boards = table.target.iter().filter(is_on);
    let (Some(board), None) = (boards.next(), boards.next()) else {
        let names: Vec<_> =
            table.target.iter().filter(|t| t.flash.is_some()).map(|t| t.name.as_str()).collect();
        return Err(format!("choose one board with --features: {}", names.join(", ")));
    };
    if env::var("TARGET").unwrap() != board.triple {
        return Err(format!("{} needs --target {}", board.name, board.triple));
    }
    Ok(board)
}

/// The stack lies at the bottom of RAM and the data above it, so that a stack overflow runs out of
/// RAM and faults.
fn memory_x(board: &Target) -> String {
    let (Some(flash), Some(ram), Some(stack)) = (&board.flash, &board.ram, board.stack) else {
        panic!("firmware/targets.toml: {} needs flash, ram and stack", board.name);
    };
    let mut text = format!(
        "MEMORY {{\n  FLASH : ORIGIN = {:#x}, LENGTH = {:#x}\n  STACK : ORIGIN = {:#x}, LENGTH = {:#x}\n  RAM : ORIGIN = {:#x}, LENGTH = {:#x}\n",
        flash.origin,
        flash.size,
        ram.origin,
        stack,
        ram.origin + stack,
        ram.size - stack,
    );
    if board.name == "raspberry-pi-pico" {
        text += &format!(
            "  BOOT2 : ORIGIN = {:#x}, LENGTH = 0x100\n}}\nEXTERN(BOOT2);\nSECTIONS {{ .boot2 ORIGIN(BOOT2) : {{ KEEP(*(.boot2)); }} > BOOT2 }} INSERT BEFORE .vector_table;\n",
            flash.origin - 0x100
        );
    } else {
        text += "}\n";
    }
    text += "_stack_end = ORIGIN(STACK);\n_stack_start = ORIGIN(STACK) + LENGTH(STACK);\n_flash_start = ORIGIN(FLASH);\n";
    if board.triple.starts_with("riscv") {
        for (region, memory) in [
            ("TEXT", "FLASH"),
            ("RODATA", "FLASH"),
            ("DATA", "RAM"),
            ("BSS", "RAM"),
            ("HEAP", "RAM"),
            ("STACK", "STACK"),
        ] {
            text += &format!("REGION_ALIAS(\"REGION_{region}\", {memory});\n");
        }
    }
    text
}
