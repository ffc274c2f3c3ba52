// Drives a running Portico with the unmodified Azure SDK for JavaScript, @azure/arm-apimanagement 10.0.0.
//
// Usage: node journey.mjs MODULES MANAGEMENT_URL TOKEN SERVICE_NAME
//
// MODULES is the folder whose node_modules holds the SDK. The first difference ends the program with an
// error. The last line says how many calls were checked.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";

const [modules, management, token, name] = process.argv.slice(2);
const require = createRequire(path.join(path.resolve(modules), "index.js"));
const { ApiManagementClient } = require("@azure/arm-apimanagement");

const group = "demo-rg";
let checked = 0;
const check = (actual, expected) => {
  checked += 1;
  assert.deepEqual(actual, expected);
};

const credential = { getToken: async () => ({ token, expiresOnTimestamp: Date.now() + 600_000 }) };
const client = new ApiManagementClient(credential, "00000000-0000-0000-0000-000000000001", {
  endpoint: management,
  $host: management,
  allowInsecureConnection: true,
});
// The SDK's own bearer policy refuses plain http, even on loopback; any policy may take its place.
client.pipeline.removePolicy({ name: "bearerTokenAuthenticationPolicy" });
client.pipeline.addPolicy({
  name: "porticoToken",
  sendRequest: (request, next) => {
    request.headers.set("Authorization", `Bearer ${token}`);
    request.allowInsecureConnection = true;
    return next(request);
  },
});

const all = async (pages) => {
  const out = [];
  for await (const item of pages) out.push(item);
  return out;
};
const names = async (pages) => (await all(pages)).map((item) => item.name);
const refused = async (status, promise) => {
  let error;
  try {
    await promise;
  } catch (caught) {
    error = caught;
  }
  check(error?.statusCode, status);
  return error;
};
const quick = { updateIntervalInMs: 100 };

await refused(404, client.apiManagementService.get(group, name));
check((await client.apiManagementService.checkNameAvailability({ name })).nameAvailable, true);
const service = await client.apiManagementService.beginCreateOrUpdateAndWait(
  group,
  name,
  { location: "West US", sku: { name: "Developer", capacity: 1 }, publisherEmail: "admin@example.org", publisherName: "demo" },
  quick,
);
check([service.name, service.provisioningState], [name, "Succeeded"]);
check(await names(client.apiManagementService.listByResourceGroup(group)), [name]);
const updated = await client.apiManagementService.beginUpdateAndWait(group, name, { publisherName: "Demo 2" }, quick);
check(updated.publisherName, "Demo 2");

const api = await client.api.beginCreateOrUpdateAndWait(
  group,
  name,
  "azureml-demo",
  { displayName: "AzureML Demo API", serviceUrl: "https://example.org", path: "azureml-demo", protocols: ["https"] },
  quick,
);
check([api.name, api.path], ["azureml-demo", "azureml-demo"]);
const { eTag } = await client.api.getEntityTag(group, name, "azureml-demo");
check((await client.api.update(group, name, "azureml-demo", eTag, { description: "d" })).description, "d");
check((await refused(412, client.api.update(group, name, "azureml-demo", eTag, { description: "e" }))).code, "PreconditionFailed");
check(await names(client.api.listByService(group, name, { top: 1 })), ["azureml-demo", "echo-api"]);
const operation = await client.apiOperation.createOrUpdate(group, name, "azureml-demo", "rrs-execute", {
  displayName: "RRS Execute",
  method: "POST",
  urlTemplate: "/execute?api-version={apiversion}",
  templateParameters: [{ name: "apiversion", type: "string", required: true }],
  responses: [{ statusCode: 200, description: "OK" }],
});
check([operation.name, operation.responses[0].statusCode], ["rrs-execute", 200]);
check(await names(client.apiOperation.listByApi(group, name, "azureml-demo")), ["rrs-execute"]);
const bad = await refused(400, client.apiOperation.createOrUpdate(group, name, "azureml-demo", "bad", { displayName: "x", method: "GET", urlTemplate: "/{a}" }));
check(bad.code, "ValidationError");

check((await client.product.createOrUpdate(group, name, "gold", { displayName: "Gold", state: "published" })).state, "published");
check((await client.productApi.createOrUpdate(group, name, "gold", "azureml-demo")).name, "azureml-demo");
check((await client.productApi.checkEntityExists(group, name, "gold", "azureml-demo")).body, true);
check(await names(client.productApi.listByProduct(group, name, "gold")), ["azureml-demo"]);
const user = await client.user.createOrUpdate(group, name, "ann", { email: "ann@example.org", firstName: "Ann", lastName: "Bee" });
check(user.email, "ann@example.org");
check((await client.group.createOrUpdate(group, name, "partners", { displayName: "Partners" })).displayName, "Partners");
check((await client.groupUser.create(group, name, "partners", "ann")).name, "ann");
check(await names(client.groupUser.list(group, name, "partners")), ["ann"]);
const subscription = await client.subscription.createOrUpdate(group, name, "ann-gold", {
  scope: "/products/gold",
  displayName: "Ann's gold",
  ownerId: "/users/ann",
  state: "active",
});
check(subscription.state, "active");
check((await client.subscription.listSecrets(group, name, "ann-gold")).primaryKey.length, 32);
await client.subscription.regeneratePrimaryKey(group, name, "ann-gold");
check(await names(client.userSubscription.list(group, name, "ann")), ["ann-gold"]);

const value = await client.namedValue.beginCreateOrUpdateAndWait(group, name, "team", { displayName: "team", value: "blue", secret: true }, quick);
check([value.secret, value.value], [true, undefined]);
check((await client.namedValue.listValue(group, name, "team")).value, "blue");
const policy = "<policies><inbound><base /></inbound><backend><base /></backend><outbound><base /></outbound><on-error><base /></on-error></policies>";
check((await client.apiPolicy.createOrUpdate(group, name, "azureml-demo", "policy", { value: policy, format: "xml" })).format, "xml");
check((await all(client.notification.listByService(group, name))).length, 7);
check((await all(client.emailTemplate.listByService(group, name))).length, 14);
check((await client.tenantAccess.get(group, name, "access")).enabled, false);

await client.subscription.delete(group, name, "ann-gold", "*");
await client.user.beginDeleteAndWait(group, name, "ann", "*", quick);
await client.product.delete(group, name, "gold", "*");
await client.api.beginDeleteAndWait(group, name, "azureml-demo", "*", quick);
check(await names(client.api.listByService(group, name)), ["echo-api"]);
await client.apiManagementService.beginDeleteAndWait(group, name, quick);
await refused(404, client.apiManagementService.get(group, name));
console.log(`${checked} calls checked`);
