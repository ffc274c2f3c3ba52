//! The policies of a request, compiled when first needed.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use policy::{Document, Format, Scope, Section, Step, StepKind};
use uuid::Uuid;

use crate::entity::{Policy, PolicyScope};
use crate::service::ServiceState;

/// The combined document of a request's scopes.
#[derive(Debug)]
pub struct Effective {
    /// Steps of each section, `<base />` and fragments resolved. Lines are packed: read them with [`Position::of`].
    pub document: Document,
}

/// Why the policies of a request cannot be applied. The control plane refuses such documents; a later change of a fragment or named
/// value can still cause it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Where the document is attached.
    pub scope: PolicyScope,
    /// What is wrong with it.
    pub message: String,
}

impl std::fmt::Display for Configuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Configuration {}

/// Where a step of an effective document comes from. Kept in the step's line number, so that steps of all scopes can be combined
/// by the policy crate and still be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Scope of the document.
    pub scope: Scope,
    /// 1-based line, at most [`Position::LINES`].
    pub line: u32,
    /// How many policies of the same element stand before it in the document: tells the counters of two limits apart.
    pub ordinal: u32,
}

impl Position {
    /// Greatest line that is told exactly: a document has at most 256 KiB, so all of them.
    pub const LINES: u32 = (1 << 18) - 1;
    const ORDINALS: u32 = (1 << 10) - 1;

    /// Reads the position of a step.
    #[must_use]
    pub fn of(step: &Step) -> Self {
        let scope = match step.line >> 28 {
            1 => Scope::Product,
            2 => Scope::Api,
            3 => Scope::Operation,
            _ => Scope::Global,
        };
        Self {
            scope,
            line: step.line & Self::LINES,
            ordinal: step.line >> 18 & Self::ORDINALS,
        }
    }

    fn pack(scope: Scope, line: u32, ordinal: u32) -> u32 {
        let scope = match scope {
            Scope::Global | Scope::Fragment => 0,
            Scope::Product => 1,
            Scope::Api => 2,
            Scope::Operation => 3,
        };
        scope << 28 | ordinal.min(Self::ORDINALS) << 18 | line.min(Self::LINES)
    }
}

/// Packs positions into the lines of all steps, also nested ones.
fn mark(steps: &mut [Step], scope: Scope, seen: &mut Vec<(&'static str, u32)>) {
    for step in steps {
        let element = step.kind.element();
        let ordinal = match seen.iter_mut().find(|(known, _)| *known == element) {
            Some((_, count)) => {
                *count += 1;
                *count
            }
            None => {
                seen.push((element, 0));
                0
            }
        };
        step.line = Position::pack(scope, step.line, ordinal);
        match &mut step.kind {
            StepKind::Choose(choose) => {
                for when in &mut choose.when {
                    mark(&mut when.steps, scope, seen);
                }
                mark(&mut choose.otherwise, scope, seen);
            }
            StepKind::Retry(retry) => mark(&mut retry.steps, scope, seen),
            StepKind::Wait(wait) => mark(&mut wait.steps, scope, seen),
            StepKind::LimitConcurrency(limit) => mark(&mut limit.steps, scope, seen),
            _ => {}
        }
    }
}

/// When the documents of a combination and what they refer to last changed. Zero is no document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stamps {
    global: u64,
    product: u64,
    api: u64,
    operation: u64,
    substitution: u64,
}

type Parsed = Result<Arc<Document>, Configuration>;

#[derive(Clone, Debug)]
struct Cached {
    product: Option<Uuid>,
    api: Option<Uuid>,
    stamps: Stamps,
    result: Result<Arc<Effective>, Configuration>,
}

/// A policy document with what was made of it. Snapshots share it until it is replaced.
#[derive(Debug)]
pub(crate) struct PolicyState {
    pub(crate) policy: Policy,
    stamp: u64,
    /// Whether named values or fragments occur in the text.
    refers: bool,
    /// The last compilation and the substitution stamp that it is for.
    parsed: ArcSwap<Option<(u64, Parsed)>>,
    /// Combinations with this document as the innermost.
    combined: ArcSwap<Vec<Cached>>,
}

impl PolicyState {
    pub(crate) fn new(policy: Policy, stamp: u64) -> Self {
        Self {
            refers: policy.xml.contains("{{") || policy.xml.contains("include-fragment"),
            policy,
            stamp,
            parsed: ArcSwap::default(),
            combined: ArcSwap::default(),
        }
    }

    fn document(&self, service: &ServiceState) -> Result<Arc<Document>, Configuration> {
        let stamp = if self.refers {
            service.substitution_stamp
        } else {
            0
        };
        if let Some((known, result)) = &**self.parsed.load()
            && *known == stamp
        {
            return result.clone();
        }
        let result = self.compile(service).map(Arc::new);
        self.parsed.store(Arc::new(Some((stamp, result.clone()))));
        result
    }

    fn compile(&self, service: &ServiceState) -> Result<Document, Configuration> {
        let scope = match self.policy.scope {
            PolicyScope::Global => Scope::Global,
            PolicyScope::Product(_) => Scope::Product,
            PolicyScope::Api(_) => Scope::Api,
            PolicyScope::Operation(_) => Scope::Operation,
        };
        let wrong = |message: String| Configuration {
            scope: self.policy.scope,
            message,
        };
        let document = read(service, &self.policy.xml, self.policy.format, scope).map_err(wrong)?;
        let failed = std::cell::RefCell::new(None);
        let lookup = |name: &str| {
            let fragment = service.fragments.by_key(name)?;
            match read(service, &fragment.xml, fragment.format, Scope::Fragment) {
                Ok(document) => Some(document),
                Err(message) => {
                    failed.replace(Some(format!("Policy fragment '{name}': {message}")));
                    None
                }
            }
        };
        let mut document = document
            .resolve_fragments(&lookup)
            .map_err(|problems| wrong(failed.take().unwrap_or_else(|| joined(&problems))))?;
        let mut seen = Vec::new();
        for steps in [
            &mut document.inbound,
            &mut document.backend,
            &mut document.outbound,
            &mut document.on_error,
        ] {
            mark(steps, scope, &mut seen);
        }
        Ok(document)
    }
}

fn joined(problems: &[policy::Problem]) -> String {
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    texts.join(" ")
}

fn read(
    service: &ServiceState,
    xml: &str,
    format: Format,
    scope: Scope,
) -> Result<Document, String> {
    if !xml.contains("{{") {
        return policy::parse(xml, format, scope).map_err(|problems| joined(&problems));
    }
    let escaped;
    let xml = match format {
        Format::Xml => xml,
        Format::RawXml => {
            escaped = policy::reformat(xml, Format::RawXml, Format::Xml)
                .map_err(|problem| problem.to_string())?;
            &escaped
        }
    };
    // Braces of Liquid look like named values; the published gateway leaves them to the template too.
    let has_template = xml.contains("template=\"liquid\"");
    let lookup = |name: &str| match service.named_values.by_key(name) {
        Some(value) => Some(value.value.clone()),
        None => has_template.then(|| format!("{{{{{name}}}}}")),
    };
    let xml = policy::substitute_named_values(xml, lookup).map_err(|problems| joined(&problems))?;
    policy::parse(&xml, Format::Xml, scope).map_err(|problems| joined(&problems))
}

/// What a service without a global policy does: the backend is called.
fn default_document() -> Result<Arc<Document>, Configuration> {
    static DOCUMENT: OnceLock<Result<Arc<Document>, Configuration>> = OnceLock::new();
    DOCUMENT
        .get_or_init(|| {
            let xml = "<policies><inbound /><backend><forward-request /></backend><outbound /></policies>";
            policy::parse(xml, Format::Xml, Scope::Global)
                .map(Arc::new)
                .map_err(|problems| Configuration {
                    scope: PolicyScope::Global,
                    message: joined(&problems),
                })
        })
        .clone()
}

impl ServiceState {
    /// The policies of a request to an operation of an API in the context of a product, if there is one.
    ///
    /// # Errors
    /// When a document cannot be compiled.
    pub fn effective(
        &self,
        product: Option<Uuid>,
        api: Uuid,
        operation: Uuid,
    ) -> Result<Arc<Effective>, Configuration> {
        let global = self.policies.get(&PolicyScope::Global);
        let of_product = product.and_then(|id| self.policies.get(&PolicyScope::Product(id)));
        let of_api = self.policies.get(&PolicyScope::Api(api));
        let of_operation = self.policies.get(&PolicyScope::Operation(operation));
        let scopes = [global, of_product, of_api, of_operation];
        let Some(innermost) = scopes.into_iter().flatten().last() else {
            static NONE: OnceLock<Result<Arc<Effective>, Configuration>> = OnceLock::new();
            return NONE
                .get_or_init(|| {
                    default_document().map(|document| {
                        Arc::new(Effective {
                            document: Document::clone(&document),
                        })
                    })
                })
                .clone();
        };
        let stamp = |state: Option<&Arc<PolicyState>>| state.map_or(0, |state| state.stamp);
        let refers = scopes.into_iter().flatten().any(|state| state.refers);
        let stamps = Stamps {
            global: stamp(global),
            product: stamp(of_product),
            api: stamp(of_api),
            operation: stamp(of_operation),
            substitution: if refers { self.substitution_stamp } else { 0 },
        };
        let cached = innermost.combined.load();
        if let Some(entry) = cached.iter().find(|entry| entry.stamps == stamps) {
            return entry.result.clone();
        }
        let result = self.combine(scopes).map(Arc::new);
        let entry = Cached {
            product: of_product.and(product),
            api: of_api.map(|_| api),
            stamps,
            result: result.clone(),
        };
        let mut entries: Vec<Cached> = cached
            .iter()
            .filter(|known| (known.product, known.api) != (entry.product, entry.api))
            .cloned()
            .collect();
        entries.push(entry);
        // Two requests may do this at once and one entry be lost: it is made again.
        innermost.combined.store(Arc::new(entries));
        result
    }

    fn combine(&self, scopes: [Option<&Arc<PolicyState>>; 4]) -> Result<Effective, Configuration> {
        let mut documents = Vec::with_capacity(4);
        for scope in scopes {
            documents.push(scope.map(|state| state.document(self)).transpose()?);
        }
        if documents[0].is_none() {
            documents[0] = Some(default_document()?);
        }
        let [global, product, api, operation] = [0, 1, 2, 3].map(|at| documents[at].as_deref());
        Ok(Effective {
            document: policy::effective(global, product, api, operation),
        })
    }
}

impl Effective {
    /// Steps of one section.
    #[must_use]
    pub fn section(&self, section: Section) -> &[Step] {
        self.document.section(section)
    }
}
