"use strict";(()=>{})();
//# sourceMappingURL=v6.js.map
