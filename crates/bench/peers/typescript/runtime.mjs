// The least that runs a Node.js handler on the Lambda Runtime API: aws-lambda-ric has a
// native part, which does not build everywhere. It does less than that one, so it
// flatters the peer, if anything.

import http from 'node:http';

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function call(method, path, body) {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) };
    const options = { host, port, agent, method, headers, path: `/2018-06-01/runtime/${path}` };
    const request = http.request(options, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => resolve({ response, text: Buffer.concat(chunks).toString() }));
    });
    request.on('error', reject);
    request.end(body);
  });
}

function described(error) {
  return JSON.stringify({ errorType: error.name, errorMessage: error.message, stackTrace: [error.stack] });
}

let handler;
try {
  ({ handler } = await import(process.argv[2]));
} catch (error) {
  await call('POST', 'init/error', described(error));
  process.exit(1);
}

for (;;) {
  const { response, text } = await call('GET', 'invocation/next');
  const id = response.headers['lambda-runtime-aws-request-id'];
  const deadline = Number(response.headers['lambda-runtime-deadline-ms']);
  const context = {
    awsRequestId: id,
    invokedFunctionArn: response.headers['lambda-runtime-invoked-function-arn'],
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
  try {
    const result = await handler(JSON.parse(text), context);
    await call('POST', `invocation/${id}/response`, JSON.stringify(result ?? null));
  } catch (error) {
    await call('POST', `invocation/${id}/error`, described(error));
  }
}
