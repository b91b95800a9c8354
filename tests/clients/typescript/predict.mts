// The types that openapi-typescript has written as digitalis.d.ts, with openapi-fetch: rows, pictures, tensors, errors.
// Arguments: the URL of the service, the version of iris, and the folder of sample pictures.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import createClient from "openapi-fetch";
import type { components, paths } from "./digitalis.js";

const [url, version, samples] = process.argv.slice(2) as [string, string, string];
const client = createClient<paths>({ baseUrl: url });

type PredictResponse = components["schemas"]["PredictResponse"];

function labels(response: PredictResponse | undefined): (string | null | undefined)[] | undefined {
  return response?.predictions.map((prediction) => prediction.label);
}

// A row of features, of the newest version and of a given one.
const rows = { instances: [[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]] };
const newest = await client.POST("/v1/models/{name}:predict", { params: { path: { name: "iris" } }, body: rows });
assert.deepEqual(labels(newest.data), ["setosa", "virginica"]);
const setosa: number | undefined = newest.data?.predictions[0]?.probabilities?.["setosa"];
assert.ok(setosa !== undefined && setosa > 0.9);
const given = await client.POST("/v1/models/{name}/versions/{version}:predict", {
  params: { path: { name: "iris", version } },
  body: rows,
});
assert.deepEqual(labels(given.data), ["setosa", "virginica"]);

// A picture: in JSON, in a form, and as the body.
const picture = await readFile(`${samples}/3.png`);
const digits = { path: { name: "digits" }, query: { debug: "ink" } } as const;
const inJson = await client.POST("/v1/models/{name}:predict", {
  params: digits,
  body: { instances: [{ b64: picture.toString("base64") }] },
});
assert.deepEqual(labels(inJson.data), ["3"]);
assert.match(inJson.data?.predictions[0]?.ink?.png ?? "", /^data:image\/png/);
const inForm = await client.POST("/v1/models/{name}:predict", {
  params: digits,
  body: { image: "3.png" },
  bodySerializer(body) {
    assert.ok(typeof body === "object" && "image" in body);
    const form = new FormData();
    form.append("image", new Blob([picture]), body.image);
    return form;
  },
});
assert.deepEqual(labels(inForm.data), ["3"]);
const asBody = await client.POST("/v1/models/{name}:predict", {
  params: digits,
  headers: { "Content-Type": "application/octet-stream" },
  body: "3.png",
  bodySerializer: () => new Blob([picture]),
});
assert.deepEqual(labels(asBody.data), ["3"]);

// Tensors.
const infer = await client.POST("/v2/models/{name}/infer", {
  params: { path: { name: "iris" } },
  body: { inputs: [{ name: "features", shape: [1, 4], datatype: "FP32", data: [5.1, 3.5, 1.4, 0.2] }] },
});
assert.deepEqual(infer.data?.outputs[0]?.shape, [1, 3]);
assert.ok(Number(infer.data?.outputs[0]?.data?.[0]) > 0.9);

// Errors, and metadata.
const wrong = await client.POST("/v1/models/{name}:predict", {
  params: { path: { name: "iris" } },
  body: { instances: [[1, 2]] },
});
assert.equal(wrong.response.status, 400);
assert.match(wrong.error?.error ?? "", /array of length 4/);
const status = await client.GET("/v1/models/{name}", { params: { path: { name: "iris" } } });
assert.deepEqual(status.data?.labels, ["setosa", "versicolor", "virginica"]);
assert.equal(status.data?.abstention, null);
const ready = await client.GET("/v2/health/ready");
assert.equal(ready.data?.ready, true);
