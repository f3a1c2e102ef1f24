// The tracker without automatic events.
import { start } from "./core";

start();
