// Everything here only adds to pages that are complete without it.
import { keys } from "./keys.js";
import { settings } from "./settings.js";
import { times } from "./times.js";

const zone = times();
settings(zone);
keys(zone);
