// Renders /openapi.json. Text is only ever set as text, so a description cannot become markup.
const element = (name, text, ...children) => {
  const out = document.createElement(name);
  if (text) out.textContent = text;
  out.append(...children);
  return out;
};
const resolve = (doc, node) => {
  let at = node;
  for (let depth = 0; at && at.$ref && depth < 8; depth += 1) {
    at = at.$ref.replace("#/", "").split("/").reduce((value, key) => value?.[key], doc);
  }
  return at ?? {};
};
const table = (head, rows) => element("table", "",
  element("thead", "", element("tr", "", ...head.map((text) => element("th", text)))),
  element("tbody", "", ...rows.map((row) => element("tr", "", ...row.map((cell) => element("td", cell))))));

const describe = (doc, path, method, operation) => {
  const summary = element("summary", "", element("b", method.toUpperCase()), element("code", path));
  const out = element("details", "", summary, element("p", operation.description ?? operation.summary));
  const parameters = (operation.parameters ?? []).map((p) => resolve(doc, p));
  if (parameters.length) {
    out.append(table(["Parameter", "In", "Required", "Meaning"],
      parameters.map((p) => [p.name, p.in, p.required ? "yes" : "no", p.description ?? ""])));
  }
  const example = Object.values(operation.requestBody?.content ?? {})[0]?.example;
  if (example) out.append(element("h4", "Request"), element("pre", JSON.stringify(example, null, 2)));
  const responses = Object.entries(operation.responses ?? {}).map(([status, r]) => [status, resolve(doc, r).description ?? ""]);
  out.append(table(["Status", "Meaning"], responses));
  out.dataset.text = `${method} ${path} ${operation.operationId ?? ""} ${operation.summary ?? ""}`.toLowerCase();
  return out;
};

const show = (doc) => {
  document.getElementById("about").textContent = doc.info.description;
  const sections = new Map();
  for (const [path, item] of Object.entries(doc.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const tag = operation.tags?.[0] ?? "Other";
      if (!sections.has(tag)) sections.set(tag, element("section", "", element("h2", tag)));
      sections.get(tag).append(describe(doc, path, method, operation));
    }
  }
  const main = document.getElementById("operations");
  main.append(...sections.values());
  const search = document.getElementById("search");
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const section of sections.values()) {
      let any = false;
      for (const item of section.querySelectorAll("details")) {
        item.hidden = !words.every((word) => item.dataset.text.includes(word));
        any ||= !item.hidden;
        count += item.hidden ? 0 : 1;
      }
      section.hidden = !any;
    }
    document.getElementById("found").textContent = `${count} operations`;
  };
  search.addEventListener("input", filter);
  filter();
};

fetch("/openapi.json")
  .then((reply) => (reply.ok ? reply.json() : Promise.reject(new Error(`status ${reply.status}`))))
  .then(show)
  .catch((error) => { document.getElementById("about").textContent = `The description could not be loaded: ${error.message}`; });
