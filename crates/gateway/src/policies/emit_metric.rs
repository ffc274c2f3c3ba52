//! `<emit-metric>`.

use policy::elements::emit_metric::EmitMetric;

use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;
use crate::telemetry::Metric;

const SOURCE: &str = "emit-metric";

pub(super) async fn apply(x: &mut Exchange, policy: &EmitMetric) -> Result<Flow, Fault> {
    let name = x.value(&policy.name, SOURCE).await?.into_owned();
    let value = x.value(&policy.value, SOURCE).await?;
    let value: f64 = value.trim().parse().map_err(|_| {
        let message = format!("'{value}' is not a number.");
        Fault::internal(SOURCE, "ExpressionValueEvaluationFailure", message)
    })?;
    let namespace = x.optional(policy.namespace.as_ref(), SOURCE).await?;
    let mut dimensions = Vec::with_capacity(policy.dimensions.len());
    for dimension in &policy.dimensions {
        let name = x.value(&dimension.name, SOURCE).await?.into_owned();
        let value = match &dimension.value {
            Some(value) => x.value(value, SOURCE).await?.into_owned(),
            None => well_known(x, &name),
        };
        dimensions.push((name, value));
    }
    x.gateway.options.telemetry.metric(Metric {
        service_id: x.service_id,
        namespace: namespace.map(std::borrow::Cow::into_owned),
        name,
        value,
        dimensions,
    });
    Ok(Flow::Next)
}

fn well_known(x: &Exchange, name: &str) -> String {
    let value = match name {
        "API ID" => x.api.as_ref().map(|api| api.name.clone()),
        "Operation ID" => x
            .operation
            .as_ref()
            .map(|state| state.operation.name.clone()),
        "Product ID" => x
            .access
            .product
            .as_ref()
            .map(|product| product.name.clone()),
        "User ID" => x.access.user.as_ref().map(|user| user.name.clone()),
        "Subscription ID" => x
            .access
            .subscription
            .as_ref()
            .map(|subscription| subscription.name.clone()),
        "Location" => x.service.service().map(|service| service.region.clone()),
        "Gateway ID" => Some(x.gateway_id().to_owned()),
        "Backend ID" => x.chosen.as_ref().map(|backend| backend.name.clone()),
        _ => None,
    };
    value.unwrap_or_default()
}
