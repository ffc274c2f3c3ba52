//! The corpus, and inputs made from it: always the same ones.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use fuzz::{ALL, Random, Target, corpus, mutate};

fn target(name: &str) -> &'static Target {
    ALL.iter().find(|target| target.name == name).unwrap()
}

fn runs(name: &str, count: usize) {
    let target = target(name);
    let corpus = corpus(target).unwrap();
    for (path, input) in &corpus {
        eprintln!("{}", path.display());
        (target.run)(input);
    }
    let mut random = Random::new(20_260_101);
    for _ in 0..count {
        let input = mutate(&corpus, target, &mut random);
        eprintln!("{:?}", String::from_utf8_lossy(&input));
        (target.run)(&input);
    }
}

#[test]
fn url_templates_match_whatever_they_are() {
    runs("url_template", 5_000);
}

#[test]
fn policy_documents_are_read_or_refused() {
    runs("policy", 1_000);
}

#[test]
fn expressions_compile_and_end_or_are_refused() {
    runs("expression", 2_000);
}

#[test]
fn heads_are_answered_or_refused() {
    runs("http_head", 300);
}

#[test]
fn responses_are_passed_on_or_refused() {
    runs("http_response", 300);
}
