// dcmjs-dimse, a user agent of others, asks the node: `node dimse.js PORT STUDY`; answers JSON.
const { Client, requests, responses, constants } = require('dcmjs-dimse');
const { CEchoRequest, CFindRequest, CGetRequest } = requests;
const { CStoreResponse } = responses;
const { Status } = constants;
const [port, study] = [Number(process.argv[2]), process.argv[3]];
const told = { echo: [], find: [], names: [], get: [], instances: [] };

const client = new Client();
const echo = new CEchoRequest();
echo.on('response', (response) => told.echo.push(response.getStatus()));
const find = CFindRequest.createStudyFindRequest({ PatientName: 'D*' });
find.on('response', (response) => {
  told.find.push(response.getStatus());
  if (response.hasDataset()) told.names.push(String(response.getDataset().getElement('PatientName')));
});
const get = CGetRequest.createStudyGetRequest(study);
get.on('response', (response) => told.get.push(response.getStatus()));
client.on('cStoreRequest', (request, callback) => {
  told.instances.push(request.getDataset().getElement('SOPInstanceUID'));
  const response = CStoreResponse.fromRequest(request);
  response.setStatus(Status.Success);
  callback(response);
});
client.on('networkError', (error) => {
  console.error(error);
  process.exitCode = 1;
});
client.on('closed', () => console.log(JSON.stringify(told)));
for (const request of [echo, find, get]) client.addRequest(request);
client.send('127.0.0.1', port, 'VIEWER', 'AI_NODE');
