// Runs checks one after the other and prints a line of JSON for each, which the test that started this reads.
import assert from "node:assert/strict";

export async function report(checks) {
  for (const [name, check] of Object.entries(checks)) {
    let error = null;
    try {
      await check();
    } catch (thrown) {
      error = thrown?.stack ?? String(thrown);
    }
    console.log(JSON.stringify({ check: name, error }));
  }
}

export async function rejects(promise, type, status, more = {}) {
  try {
    await promise;
  } catch (error) {
    assert.equal(error.constructor.name, type.name, String(error));
    assert.equal(error.status, status);
    for (const [field, value] of Object.entries(more)) {
      assert.equal(error[field], value, field);
    }
    return;
  }
  assert.fail(`no ${type.name}`);
}
