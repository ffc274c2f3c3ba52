//! Parsed documents, and how the scopes of a request combine into one.

use crate::elements::{self, StepKind};
use crate::parser::Parser;
use crate::problem::{Lines, Problem};
use crate::xml::{self, Element, Format, Node};

/// Greatest size of a policy document in bytes (published service limit: 256 KiB).
pub const DOCUMENT_BYTES_LIMIT: usize = 256 * 1024;

/// Where a policy document is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Scope {
    /// The service: every API.
    Global,
    /// A product.
    Product,
    /// An API.
    Api,
    /// An operation.
    Operation,
    /// A policy fragment: root `<fragment>`, steps of any section.
    Fragment,
}

/// A section of a document, which is also a phase of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Section {
    /// Before the call to the backend.
    Inbound,
    /// The call to the backend.
    Backend,
    /// After the call to the backend.
    Outbound,
    /// After an error in any other section.
    OnError,
}

impl Section {
    /// All sections in the order of a document.
    pub const ALL: [Self; 4] = [Self::Inbound, Self::Backend, Self::Outbound, Self::OnError];

    /// The element of the section.
    pub fn element(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Backend => "backend",
            Self::Outbound => "outbound",
            Self::OnError => "on-error",
        }
    }
}

/// One policy to apply.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The policy and its configuration.
    pub kind: StepKind,
    /// 1-based line in the document the step comes from.
    pub line: u32,
    /// The `id` attribute, which becomes `context.LastError.PolicyId`.
    pub id: Option<String>,
}

/// A checked policy document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// Steps before the call to the backend.
    pub inbound: Vec<Step>,
    /// Steps of the call itself.
    pub backend: Vec<Step>,
    /// Steps after the call.
    pub outbound: Vec<Step>,
    /// Steps after an error.
    pub on_error: Vec<Step>,
    /// Steps of a fragment; empty for every scope but [`Scope::Fragment`].
    pub fragment: Vec<Step>,
}

impl Document {
    /// The document of an API or operation that has none of its own: only `<base />` in each section.
    pub fn inherit() -> Self {
        let base = || {
            vec![Step {
                kind: StepKind::Base(elements::base::Base),
                line: 0,
                id: None,
            }]
        };
        Self {
            inbound: base(),
            backend: base(),
            outbound: base(),
            on_error: base(),
            fragment: Vec::new(),
        }
    }

    /// Steps of one section.
    pub fn section(&self, section: Section) -> &[Step] {
        match section {
            Section::Inbound => &self.inbound,
            Section::Backend => &self.backend,
            Section::Outbound => &self.outbound,
            Section::OnError => &self.on_error,
        }
    }

    fn section_mut(&mut self, section: Section) -> &mut Vec<Step> {
        match section {
            Section::Inbound => &mut self.inbound,
            Section::Backend => &mut self.backend,
            Section::Outbound => &mut self.outbound,
            Section::OnError => &mut self.on_error,
        }
    }

    /// Replaces every `include-fragment`, also nested ones, by the steps that `lookup` gives for its id.
    ///
    /// # Errors
    /// Unknown fragments, fragments that include themselves, and policies that the section does not permit. Positions are those of
    /// the outermost `include-fragment`.
    pub fn resolve_fragments(
        &self,
        lookup: &dyn Fn(&str) -> Option<Document>,
    ) -> Result<Self, Vec<Problem>> {
        let mut inclusion = Inclusion {
            lookup,
            open: Vec::new(),
            problems: Vec::new(),
            budget: STEPS_LIMIT,
        };
        let mut resolved = Self::default();
        for section in Section::ALL {
            *resolved.section_mut(section) =
                inclusion.resolve(self.section(section), Some(section));
        }
        resolved.fragment = inclusion.resolve(&self.fragment, None);
        if inclusion.problems.is_empty() {
            Ok(resolved)
        } else {
            Err(inclusion.problems)
        }
    }
}

/// Steps that a document may have after its fragments are in place: fragments that include others twice grow without bound.
const STEPS_LIMIT: usize = 10_000;

struct Inclusion<'a> {
    lookup: &'a dyn Fn(&str) -> Option<Document>,
    /// Ids of the fragments that are being included, the outermost first.
    open: Vec<String>,
    problems: Vec<Problem>,
    budget: usize,
}

impl Inclusion<'_> {
    fn problem(&mut self, line: u32, message: String) {
        self.problems.push(Problem {
            line,
            column: 1,
            message,
            element: Some("include-fragment".to_owned()),
        });
    }

    fn resolve(&mut self, steps: &[Step], section: Option<Section>) -> Vec<Step> {
        let mut resolved = Vec::with_capacity(steps.len());
        for step in steps {
            match self.budget.checked_sub(1) {
                Some(rest) => self.budget = rest,
                None => {
                    if self.problems.is_empty() {
                        self.problem(
                            step.line,
                            format!("Policy fragments add up to more than {STEPS_LIMIT} policies."),
                        );
                    }
                    return resolved;
                }
            }
            let StepKind::IncludeFragment(include) = &step.kind else {
                let mut step = step.clone();
                step.kind
                    .for_each_branch(&mut |branch| *branch = self.resolve(branch, section));
                resolved.push(step);
                continue;
            };
            let id = &include.fragment_id;
            if self.open.contains(id) {
                let chain = self.open.join(" -> ");
                self.problem(
                    step.line,
                    format!("Policy fragment '{id}' includes itself: {chain} -> {id}."),
                );
                continue;
            }
            let Some(fragment) = (self.lookup)(id) else {
                self.problem(
                    step.line,
                    format!("Policy fragment '{id}' could not be found."),
                );
                continue;
            };
            for inner in &fragment.fragment {
                if let Some(section) = section
                    && !inner.kind.permits(section)
                {
                    let element = inner.kind.element();
                    let section = section.element();
                    self.problem(step.line, format!("Policy '{element}' of fragment '{id}' is not allowed in section '{section}'."));
                }
            }
            self.open.push(id.clone());
            resolved.extend(self.resolve(&fragment.fragment, section));
            self.open.pop();
        }
        resolved
    }
}

/// Combines the documents of a request's scopes, from the outermost to the innermost, resolving `<base />` in each section. A
/// section without `<base />` drops the steps of the outer scopes. A missing document inherits everything.
pub fn effective(
    global: Option<&Document>,
    product: Option<&Document>,
    api: Option<&Document>,
    operation: Option<&Document>,
) -> Document {
    let mut combined = Document::default();
    for document in [global, product, api, operation].into_iter().flatten() {
        for section in Section::ALL {
            let outer = std::mem::take(combined.section_mut(section));
            *combined.section_mut(section) = with_base(document.section(section), &outer);
        }
    }
    combined
}

fn with_base(steps: &[Step], outer: &[Step]) -> Vec<Step> {
    let mut combined = Vec::with_capacity(steps.len() + outer.len());
    for step in steps {
        if matches!(step.kind, StepKind::Base(_)) {
            combined.extend_from_slice(outer);
        } else {
            let mut step = step.clone();
            step.kind
                .for_each_branch(&mut |branch| *branch = with_base(branch, outer));
            combined.push(step);
        }
    }
    combined
}

/// Checks a policy document and compiles its expressions.
///
/// # Errors
/// Every problem of the document, in the order of the text; if it is not well-formed, the first such error alone.
pub fn parse(xml: &str, format: Format, scope: Scope) -> Result<Document, Vec<Problem>> {
    let lines = Lines::new(xml);
    if xml.len() > DOCUMENT_BYTES_LIMIT {
        return Err(vec![lines.problem(
            0,
            None,
            format!("The policy document is larger than {DOCUMENT_BYTES_LIMIT} bytes."),
        )]);
    }
    let tree = xml::read(xml, format)
        .map_err(|error| vec![lines.problem(error.at, None, error.message)])?;
    let mut parser = Parser::new(lines, scope);
    let mut document = Document::default();
    let root = &tree.root;
    let expected = if scope == Scope::Fragment {
        "fragment"
    } else {
        "policies"
    };
    if root.name != expected {
        parser.problem(
            root.at,
            root,
            format!("Root element must be '{expected}', not '{}'.", root.name),
        );
        return Err(parser.problems);
    }
    parser.attributes(root, &[]);
    if scope == Scope::Fragment {
        document.fragment = parser.steps(root);
    } else {
        sections(&mut parser, root, &mut document);
    }
    parser
        .problems
        .sort_by_key(|problem| (problem.line, problem.column));
    if parser.problems.is_empty() {
        Ok(document)
    } else {
        Err(parser.problems)
    }
}

fn sections(parser: &mut Parser<'_>, root: &Element, document: &mut Document) {
    let mut seen: Vec<Section> = Vec::new();
    for node in &root.children {
        let element = match node {
            Node::Element(element) => element,
            Node::Text(text) if text.value.trim().is_empty() => continue,
            Node::Text(text) => {
                parser.problem(text.start(), root, "Text is not allowed here.".to_owned());
                continue;
            }
            Node::Comment(_) => continue,
        };
        let Some(section) = Section::ALL
            .into_iter()
            .find(|section| section.element() == element.name)
        else {
            parser.problem(
                element.at,
                element,
                format!("Unknown section '{}'; expected 'inbound', 'backend', 'outbound' or 'on-error'.", element.name),
            );
            continue;
        };
        if seen.contains(&section) {
            parser.problem(
                element.at,
                element,
                format!("Section '{}' occurs more than once.", element.name),
            );
        }
        seen.push(section);
        parser.attributes(element, &[]);
        parser.enter(section);
        let steps = parser.steps(element);
        document.section_mut(section).extend(steps);
    }
}

/// Rewrites a stored document as the contract returns it: indented with tabs, CRLF line ends, comments kept, XML declaration lost.
/// `from` and `to` say how expressions are written on each side.
///
/// # Errors
/// When the text is not well-formed.
pub fn reformat(source: &str, from: Format, to: Format) -> Result<String, Problem> {
    match xml::read(source, from) {
        Ok(tree) => Ok(xml::write(&tree, to)),
        Err(error) => Err(Lines::new(source).problem(error.at, None, error.message)),
    }
}
