"use strict";(()=>{})();
//# sourceMappingURL=rs-core.js.map
