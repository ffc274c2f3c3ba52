//! Runs the targets for some time: `fuzz --seconds 60`, `fuzz --target policy --seed 7`.

use anyhow::Context as _;
use clap::Parser;
use fuzz::{ALL, Random, Target, corpus, corpus_folder, mutate};
use std::hash::{DefaultHasher, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime};

#[derive(Parser)]
struct Arguments {
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Only this target.
    #[arg(long)]
    target: Option<String>,
    /// Where the inputs begin; without it, another one each time.
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => SystemTime::UNIX_EPOCH.elapsed()?.as_secs(),
    };
    let mut found = 0;
    for target in &ALL {
        if arguments
            .target
            .as_deref()
            .is_none_or(|only| only == target.name)
        {
            found += run(target, seed, Duration::from_secs(arguments.seconds))?;
        }
    }
    anyhow::ensure!(found == 0, "{found} inputs fail; they are in fuzz/corpus");
    Ok(())
}

/// At most this many findings of one run are worth looking at.
const FINDINGS: usize = 5;

fn run(target: &Target, seed: u64, time: Duration) -> anyhow::Result<usize> {
    let corpus = corpus(target)?;
    let mut random = Random::new(seed);
    let began = Instant::now();
    let (mut count, mut found) = (0_u64, 0);
    let mut slowest = Duration::ZERO;
    while began.elapsed() < time && found < FINDINGS {
        let input = mutate(&corpus, target, &mut random);
        let started = Instant::now();
        if catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).is_err() {
            let mut hasher = DefaultHasher::new();
            hasher.write(&input);
            let path = corpus_folder(target).join(format!("found-{:016x}", hasher.finish()));
            std::fs::write(&path, &input).with_context(|| format!("writing {}", path.display()))?;
            println!("{}: found {}", target.name, path.display());
            found += 1;
        }
        slowest = slowest.max(started.elapsed());
        count += 1;
    }
    println!(
        "{}: {count} inputs in {:.1} s from seed {seed}, the slowest in {} ms, {found} found",
        target.name,
        began.elapsed().as_secs_f64(),
        slowest.as_millis()
    );
    Ok(found)
}
