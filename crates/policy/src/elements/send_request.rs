//! `<send-request>`.

use std::time::Duration;

use crate::elements::StepKind;
use crate::elements::authentication_certificate::AuthenticationCertificate;
use crate::elements::authentication_managed_identity::AuthenticationManagedIdentity;
use crate::elements::proxy::Proxy;
use crate::elements::set_body::SetBody;
use crate::elements::set_header::SetHeader;
use crate::elements::set_method::SetMethod;
use crate::parser::Parser;
use crate::xml::Element;
use crate::value::{Value, words};

words! {
    /// What the request begins with.
    RequestMode ("'new' or 'copy'") {
        /// An empty request.
        New = "new",
        /// A copy of the current one.
        Copy = "copy",
    }
}

/// A request that a policy makes.
#[derive(Clone, Debug, PartialEq)]
pub struct OutgoingRequest {
    /// What it begins with.
    pub mode: RequestMode,
    /// Time for the response: 60 s unless given.
    pub timeout: Value<Duration>,
    /// Address; present when the mode is `new`.
    pub url: Option<Value<String>>,
    /// Method.
    pub method: Option<SetMethod>,
    /// Headers.
    pub headers: Vec<SetHeader>,
    /// Body.
    pub body: Option<SetBody>,
    /// Client certificate.
    pub certificate: Option<AuthenticationCertificate>,
    /// Token of the service's identity.
    pub managed_identity: Option<AuthenticationManagedIdentity>,
    /// Proxy to go through.
    pub proxy: Option<Proxy>,
}

/// Sends a request and keeps its response in a variable.
#[derive(Clone, Debug, PartialEq)]
pub struct SendRequest {
    /// The request.
    pub request: OutgoingRequest,
    /// Variable that receives the response.
    pub response_variable_name: String,
    /// Whether a failure leaves the variable null instead of running `on-error`.
    pub ignore_error: Value<bool>,
}

pub(crate) const EXAMPLE: &str = r#"<send-request mode="new" response-variable-name="tokenstate" timeout="20" ignore-error="true">
    <set-url>https://microsoft-apiappec990ad4c76641c6aea22f566efc5a4e.azurewebsites.net/introspection</set-url>
    <set-method>POST</set-method>
    <set-header name="Authorization" exists-action="override">
        <value>basic dXNlcm5hbWU6cGFzc3dvcmQ=</value>
    </set-header>
    <set-header name="Content-Type" exists-action="override">
        <value>application/x-www-form-urlencoded</value>
    </set-header>
    <set-body>@("token=" + (string)context.Variables["token"])</set-body>
</send-request>"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<SendRequest> {
    parser.attributes(element, &["mode", "response-variable-name", "timeout", "ignore-error"]);
    let request = outgoing(parser, element);
    let response_variable_name = parser.literal(element, "response-variable-name");
    let ignore_error = parser.value_or(element, "ignore-error", false);
    Some(SendRequest { request: request?, response_variable_name: response_variable_name?, ignore_error })
}

/// Reads what `send-request` and `send-one-way-request` share.
pub(crate) fn outgoing(parser: &mut Parser<'_>, element: &Element) -> Option<OutgoingRequest> {
    parser.children(
        element,
        &[
            "set-url",
            "set-method",
            "set-header",
            "set-body",
            "authentication-certificate",
            "authentication-managed-identity",
            "proxy",
        ],
    );
    let before = parser.problems.len();
    let mode = parser.literal_or(element, "mode", RequestMode::New);
    let timeout = parser.value_or(element, "timeout", Duration::from_secs(60));
    let url = match mode {
        RequestMode::New => parser.required_child(element, "set-url"),
        RequestMode::Copy => parser.child(element, "set-url"),
    };
    let url = url.and_then(|child| {
        parser.attributes(child, &[]);
        parser.text(child)
    });
    let mut request = OutgoingRequest {
        mode,
        timeout,
        url,
        method: None,
        headers: Vec::new(),
        body: None,
        certificate: None,
        managed_identity: None,
        proxy: None,
    };
    for name in ["set-method", "set-body", "authentication-certificate", "authentication-managed-identity", "proxy"] {
        parser.child(element, name);
    }
    for child in element.elements().filter(|child| child.name != "set-url") {
        if !matches!(
            child.name.as_str(),
            "set-method" | "set-header" | "set-body" | "authentication-certificate" | "authentication-managed-identity" | "proxy"
        ) {
            continue;
        }
        match parser.part(child) {
            Some(StepKind::SetMethod(method)) => request.method = Some(method),
            Some(StepKind::SetHeader(header)) => request.headers.push(header),
            Some(StepKind::SetBody(body)) => request.body = Some(body),
            Some(StepKind::AuthenticationCertificate(certificate)) => request.certificate = Some(certificate),
            Some(StepKind::AuthenticationManagedIdentity(identity)) => request.managed_identity = Some(identity),
            Some(StepKind::Proxy(proxy)) => request.proxy = Some(proxy),
            _ => {}
        }
    }
    (parser.problems.len() == before).then_some(request)
}
