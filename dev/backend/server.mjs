#!/usr/bin/env node
// Starts the stand-in, says where it is, and ends at once when told to.

import { App } from './app.mjs';
import { HELP, SettingsError, readSettings } from './settings.mjs';

const BAD_SETTINGS = 78; // what the services of the pipeline exit with too

function settingsOrExit() {
  try {
    return readSettings(process.env);
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    console.error(`backend stand-in: ${error.message}`);
    return process.exit(BAD_SETTINGS);
  }
}

async function main() {
  if (process.argv.includes('--help') || process.argv.includes('-h')) return console.log(HELP);
  const settings = settingsOrExit();
  const app = new App(settings);
  const stop = () => {
    app.close();
    process.exit(0);
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  try {
    await app.listen();
  } catch (error) {
    console.error(`backend stand-in: cannot listen on ${settings.host}:${settings.port}: ${error.code ?? error.message}`);
    return process.exit(1);
  }
  const host = settings.host.includes(':') ? `[${settings.host}]` : settings.host;
  console.log(`backend stand-in on http://${host}:${app.settings.port} cache=${settings.cacheMode}`);
}

await main();
