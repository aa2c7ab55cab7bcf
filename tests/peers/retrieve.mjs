// Retrieves by dicomweb-client from npm what the arguments name, and prints what came as JSON.
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';

const require = createRequire(`${process.argv[2]}/`);
globalThis.XMLHttpRequest = require('xhr2');
const { api } = require('dicomweb-client');
const [url, study, series, instance] = process.argv.slice(3);
const client = new api.DICOMwebClient({ url, errorInterceptor: () => {} });
const of = {
  studyInstanceUID: study,
  seriesInstanceUID: series,
  sopInstanceUID: instance,
};
const digest = (bytes) => createHash('sha256').update(Buffer.from(bytes)).digest('hex');
const metadata = await client.retrieveSeriesMetadata(of);
const pixels = metadata[0]['7FE00010'].BulkDataURI;
const found = {
  studies: (await client.retrieveStudy(of)).map(digest),
  series: (await client.retrieveSeries(of)).map(digest),
  instance: digest(await client.retrieveInstance(of)),
  rows: metadata.map((header) => header['00280010'].Value[0]),
  one: (await client.retrieveInstanceMetadata(of))[0]['00080018'].Value[0],
  frames: (await client.retrieveInstanceFrames({ ...of, frameNumbers: [1] })).map(digest),
  bulk: (await client.retrieveBulkData({ BulkDataURI: pixels })).map(digest),
  rendered: Buffer.from((await client.retrieveInstanceRendered(of))[0]).subarray(0, 2).toString('hex'),
};
process.stdout.write(JSON.stringify(found));
